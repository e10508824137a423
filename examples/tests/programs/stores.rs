//! An edge and an aggregator on one machine, as on a desk: they may share a directory, and take nothing for each other's.

use std::fs;

use runtime_cloud::engine::Request;
use runtime_cloud::{Offline, Place, ServeError, Server};
use runtime_linux::{Edge, EdgeRequest, OpenError, Options, Service};
use storage_redb::StoreError;
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_and_an_aggregator_share_a_directory_and_no_socket() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let place = Place::new(at);
    let listen = "127.0.0.1:0".parse().unwrap();
    let transport = transport_quic::Config::cat_m1();
    let options = runtime_cloud::Options { place: place.clone(), listen, transport };
    let server = Server::start(options).await.unwrap();
    let cloud_key = server.public_key();
    let edge = Edge::open(Options::new(at).document("pump")).await.unwrap();
    let edge_key = edge.public_key();
    assert!(edge.is_store_new());
    assert_ne!(edge.store_path(), place.store);

    let (stop_cloud, cloud_stopped) = oneshot::channel::<()>();
    let (stop_edge, edge_stopped) = oneshot::channel::<()>();
    let cloud = tokio::spawn(server.run(async { drop(cloud_stopped.await) }));
    let service = Service::bind(edge.clone(), &runtime_linux::socket_path(at)).await.unwrap();
    let device = tokio::spawn(service.run(async { drop(edge_stopped.await) }));

    let answer = place.connect().await.unwrap().request(&Request::Status).await.unwrap();
    assert_eq!(answer["key"], cloud_key.to_string());
    let mut client = runtime_linux::connect(at).await.unwrap();
    let answer = client.request(&EdgeRequest::Status).await.unwrap();
    assert_eq!(answer["public_key"], edge_key.to_string());
    drop((stop_cloud, stop_edge, client));
    cloud.await.unwrap().unwrap();
    device.await.unwrap();
    edge.shut_down().await.unwrap();

    // Each one's store is nothing to the other, and stays as it is.
    let edge_store = runtime_linux::store_path(at);
    let before = fs::read(&edge_store).unwrap();
    let error = Offline::open(&Place::new(&edge_store), true).unwrap_err();
    assert!(matches!(error, ServeError::Store(StoreError::OtherRole { .. })), "{error}");
    assert!(fs::read(&edge_store).unwrap() == before);

    fs::copy(&place.store, &edge_store).unwrap();
    let before = fs::read(&edge_store).unwrap();
    let error = Edge::open(Options::new(at).document("pump")).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::OtherRole { .. })), "{error}");
    assert!(fs::read(&edge_store).unwrap() == before);
}
