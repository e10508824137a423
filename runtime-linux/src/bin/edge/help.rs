//! What `--help` says beside the options.

pub(crate) const HELP: &str = "\
Examples:
  edge init --store /var/lib/pump                 make the store, if there is none
  edge key --store /var/lib/pump                  print the key that the aggregator must let in
  edge run --store /var/lib/pump --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42
  edge set pump/3/setpoint 4.5 --store /var/lib/pump
  edge set pump/3/mode auto --wait --timeout 30   with GODWIT_STORE set, or in the directory of the store
  edge get pump/3
  edge watch pump
  edge run --document pump-42 --document town     several documents share one connection
  edge get mode --document town                   one that is not the main one, which was named first
  edge flush                                      before the device is switched off: send now what waits
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 50MB/month --budget-reset-day 15 --urgent alarms
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 50MB/month --budget-zone America/New_York
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --max-delay 15m --policy alarms=urgent
  edge policy                                     which changes wait, for how long, and who said so
  edge ledger                                     what the link cost, by day and by month
  edge status                                     what of the budget is left, and when sending goes on

Exit codes, the same for edge and aggregator:
  0 done                      4 nothing at the path, unknown document or key
  1 failed, stderr says why   5 what was waited for did not come in time
  2 bad input                 6 the store cannot be used
  3 no edge running           7 refused by a limit or a right

Only run, init and key make a store where there is none, and say so.
Log: stderr; RUST_LOG=debug for more.";

pub(crate) const RUN_HELP: &str = "\
Examples:
  edge run --store /var/lib/pump --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42 --document town
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 50MB/month --budget-reset-day 31 \\
      --budget-zone Europe/Berlin
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --budget 5MB --budget-reserve 20% --urgent alarms --urgent doors
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --max-delay 15m --policy alarms=urgent \\
      --policy 'sensors=max-delay:15m,dead-band:0.5,heartbeat:1h' --policy 'logs=background,max-delay:6h'
  edge run --aggregator sync.example.com:4433 --key 3f2a.. --document pump-42 --serial /dev/ttyUSB0:115200
  edge run --document town --document pump-42 --document pump-43 --serial /dev/ttyS1=pump-42 --line-tcp 127.0.0.1:7000=pump-43

When the day's part of the budget is spent, only urgent paths are sent; when the month's is, nothing. Edits go on here.
What a microcontroller on a line is told is durable is on this device's disk; it is at the aggregator when edge status
shows no backlog. Give the same lines at each start: a line makes this copy take a new replica id whenever it starts.";

pub(crate) const POLICY_HELP: &str = "\
Examples:
  edge policy --store /var/lib/pump
  edge policy --json | jq '.[0].rules[] | select(.source != \"command_line\")'
  edge set config/policy/sensors 'sensors=max-delay:15m,dead-band:0.5'
  edge delete config/policy/sensors

A rule in a document holds from the next change on, whoever wrote it, and comes before one of the command line with the
same prefix. The prefix is the path before the equals sign; without one the rule holds everywhere. Terms:
  urgent | normal | background   urgent goes ahead, and while the budget allows only that; background waits for company,
                                 a day at the longest
  max-delay:15m                  the longest time that a change waits for company
  dead-band:0.5, dead-band:2%    a number that is nearer than this to the one sent last is no reason to send; an equal
                                 value never is
  heartbeat:1h                   a value that is no reason to send is sent so long after its last report
  align:5m                       changes leave at multiples of this, at another second on each device (no-spread: the same)
What must leave anyway takes along whatever waits, in all documents.";

pub(crate) const LEDGER_HELP: &str = "\
Examples:
  edge ledger --store /var/lib/pump
  edge ledger --json | jq '.months[-1].total.bytes'

Works while the edge runs and while it does not. The last 92 days and 36 months are kept. Days and months
begin at midnight in the zone that edge run was told last (--budget-zone), months on its reset day (--budget-reset-day).";

pub(crate) const DOCUMENT_HELP: &str = "\
Examples:
  edge document list --store /var/lib/pump
  edge document send old --timeout 300
  edge document drop old

edge run opens the documents that it names, or without names those of the last run. What others in the store have not sent
stays on this device; get and watch read it.";
