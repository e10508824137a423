//! The programs that people copy do what they say.

use std::process::Command;

#[test]
fn an_edge_is_embedded_in_a_few_lines() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("hello");
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_hello_edge")).arg(&store).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run();
    assert!(first.contains(r#"greeting is {"text":"hello"}"#), "{first}");
    assert_eq!(run(), first, "the same device, with the same document");
}

#[test]
fn a_fixed_device_syncs_over_a_wire() {
    let output = Command::new(env!("CARGO_BIN_EXE_fixed_device")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for cell in [
        "pump/mode = Value(Str(\"auto\"))",
        "pump/setpoint = Value(F64(4.5))",
        "pump/speed = Value(I64(1450))",
    ] {
        assert_eq!(text.matches(cell).count(), 2, "at both ends: {text}");
    }
    assert!(text.contains(" bytes on the wire"), "{text}");
}
