//! Server and client over a real socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use control::{
    BindError, CONNECTIONS_MAX, Client, ConnectError, ErrorReply, Gone, REQUEST_LEN_MAX, Replies,
    RequestError, Server, Set,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[derive(Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Add {
        a: i64,
        b: i64,
    },
    Count,
    Echo(Set),
    Never,
    #[serde(deserialize_with = "control::no_fields")]
    Silent,
}

async fn handle(request: Request, mut replies: Replies) -> Result<(), Gone> {
    match request {
        Request::Add { a, b } => match a.checked_add(b) {
            Some(sum) => replies.ok(&sum).await,
            None => replies.error(&ErrorReply::new("overflow", format!("{a} + {b} is beyond 64 bits"))).await,
        },
        Request::Count => {
            for number in 0.. {
                tokio::select! {
                    () = replies.gone() => return Err(Gone),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
                replies.ok(&number).await?;
            }
            Ok(())
        }
        Request::Echo(set) => replies.ok(&set.value).await,
        Request::Never => std::future::pending().await,
        Request::Silent => Ok(()),
    }
}

async fn serve(path: &Path) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let server = Server::bind(path).await.expect("a free path");
    let (stop, stopped) = oneshot::channel();
    (stop, tokio::spawn(server.run(handle, async { drop(stopped.await) })))
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (stop, running) = serve(&path).await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = Client::connect(&path).await.unwrap();
    for a in 0..100 {
        assert_eq!(client.request(&Request::Add { a, b: 7 }).await.unwrap(), a + 7);
    }
    let Err(RequestError::Refused(error)) = client.request(&Request::Add { a: i64::MAX, b: 1 }).await else {
        panic!("it overflows");
    };
    assert_eq!((error.code.as_str(), error.message.contains("beyond 64 bits")), ("overflow", true));
    let Err(RequestError::Refused(error)) = client.request(&Request::Silent).await else {
        panic!("a bug is told")
    };
    assert_eq!(error.code, "internal");
    assert_eq!(client.request(&Request::Add { a: 1, b: 1 }).await.unwrap(), 2, "the connection goes on");

    drop(stop);
    timeout(Duration::from_secs(1), running).await.expect("idle clients do not hold it up").unwrap();
    assert!(!path.exists());
    assert!(matches!(Client::connect(&path).await, Err(ConnectError::NotRunning { .. })));
}

#[tokio::test]
async fn a_stream_lasts_until_a_side_closes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (stop, running) = serve(&path).await;
    let mut client = Client::connect(&path).await.unwrap();
    client.send(&Request::Count).await.unwrap();
    for number in 0..20 {
        assert_eq!(client.next().await.unwrap().unwrap(), number);
    }
    // Clients that hung up leave their places to others.
    for _ in 0..3 * CONNECTIONS_MAX {
        let mut other = Client::connect(&path).await.unwrap();
        other.send(&Request::Count).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(5), other.next()).await.unwrap().unwrap().unwrap(), 0);
    }
    drop(stop);
    timeout(Duration::from_secs(1), running).await.expect("streams are told to end").unwrap();
    while client.next().await.is_ok_and(|reply| reply.is_some()) {}
}

#[tokio::test]
async fn a_handler_that_never_ends_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (stop, running) = serve(&path).await;
    let mut client = Client::connect(&path).await.unwrap();
    client.send(&Request::Never).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(stop);
    timeout(Duration::from_secs(4), running).await.expect("the grace is two seconds").unwrap();
    assert!(client.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (_stop, _running) = serve(&path).await;
    // Other programs may use it by hand: a line, and the sending side closed.
    let ask = async |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // A server that has seen enough may close before it has read all.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    assert_eq!(ask(b"{\"verb\":\"add\",\"a\":1,\"b\":2}\n").await, "{\"ok\":3}\n");
    assert_eq!(ask(b"\n  \n{\"verb\":\"add\",\"a\":1,\"b\":2}").await, "{\"ok\":3}\n");
    for bad in [
        &b"what?\n"[..],
        b"{\"verb\":\"fly\"}\n",
        b"{\"verb\":\"add\",\"a\":\"x\"}\n",
        b"\xff\xff\n",
        b"[]\n",
        b"[\"add\",1,2]\n",
        b"{\"verb\":\"add\",\"a\":1,\"b\":2,\"c\":3}\n",
        b"{\"verb\":\"add\",\"a\":1,\"b\":2,\"b\":3}\n",
        b"{\"verb\":\"silent\",\"a\":1}\n",
    ] {
        let answer = ask(bad).await;
        assert!(
            answer.starts_with("{\"error\":{\"code\":\"bad_request\",\"message\":\"no request"),
            "{answer}"
        );
    }
    let misspelt = ask(b"{\"verb\":\"echo\",\"docment\":\"town\",\"path\":\"a\",\"value\":1}\n").await;
    let known = "unknown field `docment`, expected one of `document`, `path`, `value`";
    assert!(misspelt.contains(known), "{misspelt}");
    let mixed = ask(b"nonsense\n{\"verb\":\"add\",\"a\":1,\"b\":2}\n").await;
    assert!(mixed.ends_with("{\"ok\":3}\n"), "{mixed}");

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(&vec![b' '; REQUEST_LEN_MAX + 1]).await.unwrap();
    let mut answer = vec![0; 200];
    let len = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..len]).contains("at most 65536 bytes"));

    let mut client = Client::connect(&path).await.unwrap();
    let error = client.request(&"x".repeat(REQUEST_LEN_MAX)).await.unwrap_err();
    assert!(matches!(error, RequestError::RequestTooLong { len } if len == REQUEST_LEN_MAX + 2), "{error}");
}

#[tokio::test]
async fn a_number_of_a_request_is_taken_as_it_is_written_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (_stop, _running) = serve(&path).await;
    let echo = async |value: &str| {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let line = format!("{{\"verb\":\"echo\",\"path\":\"a\",\"value\":{value}}}\n");
        stream.write_all(line.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for (value, shown) in [
        ("7", "7"),
        ("-0", "0"),
        ("7.0", "7.0"),
        ("-0.0", "-0.0"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1e16", "1e+16"),
        ("5e-324", "5e-324"),
        ("\"-0, 1e400\"", "\"-0, 1e400\""),
        ("\"\\\"-0\"", "\"\\\"-0\""),
        ("{\"float\":\"inf\"}", "{\"float\":\"inf\"}"),
    ] {
        assert_eq!(echo(value).await, format!("{{\"ok\":{shown}}}\n"));
    }
    for (value, reason) in [
        ("9223372036854775808", "write it as 9223372036854775808.0 to store the nearest float"),
        ("18446744073709551616", "write it as 18446744073709551616.0 to store the nearest float"),
        ("-9223372036854775809", "from -9223372036854775808 to 9223372036854775807"),
        ("1e400", "the largest float"),
        ("1e-400", "the smallest float"),
        ("[1,2]", "is no scalar"),
        ("{\"a\":1}", "is no scalar"),
        ("{\"bytes\":\"AA==\",\"bytes\":\"AQ==\"}", "is there twice"),
    ] {
        let answer = echo(value).await;
        assert!(answer.starts_with("{\"error\":{\"code\":\"bad_request\""), "{answer}");
        assert!(answer.contains(reason), "{answer}");
    }
}

#[tokio::test]
async fn only_a_dead_process_gives_its_socket_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    // What a killed process leaves behind: a file that nobody listens to.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(matches!(Client::connect(&path).await, Err(ConnectError::NotRunning { .. })));
    let server = Server::bind(&path).await.unwrap();
    let error = Server::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");

    // Somebody took the file away and another server came: the first one leaves the new file alone.
    std::fs::remove_file(&path).unwrap();
    let second = Server::bind(&path).await.unwrap();
    drop(server);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Server::bind(&path).await, Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");

    assert!(matches!(Server::bind(&directory.path().join("no/s")).await, Err(BindError::Io { .. })));
}

/// The system limits the whole path; only the name is limited here.
#[tokio::test]
async fn a_long_directory_is_no_matter() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("d".repeat(200)).join("e".repeat(200));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("n".repeat(80));
    assert!(matches!(Client::connect(&path).await, Err(ConnectError::NotRunning { .. })));
    for _ in 0..2 {
        let (stop, running) = serve(&path).await;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Server::bind(&path).await, Err(BindError::InUse { .. })));
        let mut client = Client::connect(&path).await.unwrap();
        assert_eq!(client.request(&Request::Add { a: 1, b: 7 }).await.unwrap(), 8);
        drop(stop);
        running.await.unwrap();
        assert!(!path.exists());
        // What a killed process leaves behind.
        let short = directory.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&short).unwrap());
        std::fs::rename(short, &path).unwrap();
    }

    for long in [directory.path().join("x".repeat(120)), deep.join("x".repeat(90))] {
        let error = Server::bind(&long).await.unwrap_err();
        assert!(
            matches!(error, BindError::PathTooLong { .. }) && error.to_string().contains("107"),
            "{error}"
        );
        assert!(matches!(Client::connect(&long).await, Err(ConnectError::NotRunning { .. })));
    }
}

#[tokio::test]
async fn a_client_of_another_store_leaves_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (socket, store) = (at("s"), at("store"));
    std::fs::write(&store, "").unwrap();
    std::fs::write(at("other"), "").unwrap();
    let server = Server::bind(&socket).await.unwrap().for_store("pump", &store).unwrap();
    let running = tokio::spawn(server.run(handle, std::future::pending()));
    std::os::unix::fs::symlink(&store, at("link")).unwrap();
    std::fs::hard_link(&store, at("second")).unwrap();
    for same in ["store", "link", "second"] {
        let mut client = Client::connect_to_store(&socket, "pump", &at(same)).await.unwrap();
        assert_eq!(client.request(&Request::Add { a: 1, b: 7 }).await.unwrap(), 8);
    }
    for (program, other) in [("pump", "other"), ("pump", "missing"), ("valve", "store")] {
        let error = Client::connect_to_store(&socket, program, &at(other)).await.unwrap_err();
        assert!(matches!(&error, ConnectError::OtherStore { program, .. } if program == "pump"), "{error}");
        let (served, wanted) = (store.display().to_string(), at(other).display().to_string());
        assert!(error.to_string().contains(&served) && error.to_string().contains(&wanted), "{error}");
    }
    running.abort();
    let _ = running.await;

    // One that does not know of stores, which answers as to any request that it does not know.
    let (_stop, _running) = serve(&socket).await;
    let error = Client::connect_to_store(&socket, "pump", &store).await.unwrap_err();
    assert!(matches!(error, ConnectError::OtherVersion { .. }), "{error}");
    assert!(matches!(
        Server::bind(&at("t")).await.unwrap().for_store("pump", &at("no")),
        Err(BindError::Io { .. })
    ));
}
