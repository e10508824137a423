//! How the edge is, for people.

use runtime_linux::{BudgetStatus, Level, Status};

/// The status for people.
pub(crate) fn status_text(status: &Status) -> String {
    let mut text = String::new();
    let mut put = |line: std::fmt::Arguments<'_>| {
        text.push_str(&line.to_string());
        text.push('\n');
    };
    put(format_args!("public key    {}", status.public_key));
    let aggregator = status.aggregator.as_deref().unwrap_or("none");
    match status.aggregator_address.map(|address| address.to_string()).filter(|address| address != aggregator)
    {
        Some(address) => put(format_args!("aggregator    {aggregator} ({address})")),
        None => put(format_args!("aggregator    {aggregator}")),
    }
    put(format_args!("link          {}", status.link));
    for document in &status.documents {
        put(format_args!(
            "document      {:?}, {} cells, {} bytes",
            document.document, document.cells, document.bytes
        ));
        put(format_args!("waits for     {}", document.waits_for));
        if let Some(problem) = &document.problem {
            put(format_args!("problem       {problem}"));
        }
        put(format_args!("backlog       {} cells, {} bytes", document.backlog_cells, document.backlog_bytes));
        for bad in &document.bad_rules {
            put(format_args!("left out      the rule at {}: {}", bad.path, bad.reason));
        }
        if document.unverified {
            put(format_args!(
                "unverified    own writes are held back until the aggregator has verified this copy"
            ));
        }
    }
    for line in &status.lines {
        let state = if line.open { "a device is there" } else { "nobody is there" };
        put(format_args!("line          {}: {state}, for {}", line.line, line.documents.join(", ")));
        put(format_args!(
            "              {} frames received, {} sent, {} sent once more; {} packets dropped",
            line.frames_received, line.frames_sent, line.frames_repeated, line.packets_dropped
        ));
        if let Some(problem) = &line.problem {
            put(format_args!("problem       {problem}"));
        }
    }
    if !status.clock_is_trusted {
        put(format_args!("clock         not set; times go on from the last one seen"));
    }
    if let Some(budget) = &status.budget {
        put(format_args!("{}", budget_text(budget)));
    }
    for document in &status.unopened {
        if let Some(warning) = document.warning() {
            put(format_args!("not open      {warning}: edge document send, or edge document drop"));
        }
    }
    put(format_args!("IP bytes      {} sent, {} received", status.ip_bytes_sent, status.ip_bytes_received));
    text
}

/// Two or three lines about the budget.
fn budget_text(budget: &BudgetStatus) -> String {
    let BudgetStatus { zone, period_from, period_until, spent_bytes, cap_bytes, reserve_bytes, .. } = budget;
    let older = budget.held_until.as_ref().map_or_else(String::new, |day| {
        let bytes = budget.held_bytes;
        format!("\n              {bytes} of them are older and count until {day}: the reset day was changed")
    });
    let now = match (budget.level, &budget.resumes) {
        (Level::Urgent, Some(day)) => format!("only what is urgent is sent until {day} ({zone})"),
        (Level::Nothing, Some(day)) => format!("nothing is sent until {day} ({zone})"),
        _ => "everything is sent".to_owned(),
    };
    format!(
        "budget        {spent_bytes} of {cap_bytes} bytes since {period_from}, until {period_until} ({zone}), {reserve_bytes} \
         kept for what is urgent{older}\ntoday         {} of {} bytes; {now}",
        budget.spent_today_bytes, budget.allowance_today_bytes
    )
}
