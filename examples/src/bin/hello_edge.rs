//! The smallest program that embeds the edge runtime: a document in a directory, a write, and everybody's changes.
//!
//! `hello_edge DIRECTORY` works offline. With `ADDRESS KEY` of an aggregator, after the directory, it syncs as well.

use runtime_linux::{Change, Edge, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: hello_edge DIRECTORY [ADDRESS KEY]")?;
    let mut options = Options::new(directory).document("hello");
    if let (Some(address), Some(key)) = (arguments.next(), arguments.next()) {
        options = options.aggregator(address, key.parse()?);
    }
    let edge = Edge::open(options).await?;
    println!("this device is {}", edge.public_key());

    let mut watch = edge.watch(Some("greeting"))?;
    edge.set("greeting/text", "hello").await?; // On the disk from here on.
    loop {
        match watch.next().await? {
            Change::Delete { path } => println!("{path} is gone"),
            Change::Set { path, value } => println!("{path} is {value}"),
            Change::Snapshot { value: None } => println!("greeting is nothing yet"),
            Change::Snapshot { value: Some(value) } => println!("greeting is {value}"),
        }
        if edge.status().await?.aggregator.is_none() {
            break; // Nobody else will change it.
        }
    }
    Ok(edge.shut_down().await?)
}
