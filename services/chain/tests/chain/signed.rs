//! Signed notes and checkpoints, against the vector in the documentation of Go's note package.

use evenkeel_chain::{
    Checkpoint, Hash,
    checkpoint::CheckpointError,
    hash,
    note::{KeyError, NoteError, SignerKey, VerifierKey},
};

const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn note() -> String {
    format!("{TEXT}\n{SIGNATURE}")
}

fn verifier() -> VerifierKey {
    VerifierKey::parse(VKEY).unwrap()
}

fn signer(name: &str, byte: u8) -> SignerKey {
    SignerKey::from_seed(name, &[byte; 32]).unwrap()
}

#[test]
fn the_published_note_opens_with_the_published_key() {
    assert_eq!(verifier().open(&note()), Ok(TEXT));
    assert_eq!(verifier().to_string(), VKEY);
}

#[test]
fn signing_with_the_published_private_key_gives_the_published_note() {
    let signer = SignerKey::parse(SKEY).unwrap();
    assert_eq!(signer.sign(TEXT), Ok(note()));
    assert_eq!(signer.to_secret_text(), SKEY);
    assert_eq!(signer.verifier(), &verifier());
}

#[test]
fn a_changed_text_has_a_bad_signature() {
    let forged = note().replace("problem is.", "problem was.");
    assert_eq!(verifier().open(&forged), Err(NoteError::BadSignature("PeterNeumann+c74f20a3".into())));
}

#[test]
fn another_key_is_named_even_when_its_name_is_the_same() {
    let note = signer("PeterNeumann", 7).sign(TEXT).unwrap();
    let Err(NoteError::WrongKey { expected, found }) = verifier().open(&note) else { panic!("{note}") };
    assert_eq!(expected, "PeterNeumann+c74f20a3");
    assert_eq!(found, [signer("PeterNeumann", 7).verifier().label()]);
}

#[test]
fn signatures_by_other_keys_are_not_minded() {
    let other = signer("somebody.example", 7).sign(TEXT).unwrap();
    let line = other.lines().last().unwrap();
    assert_eq!(verifier().open(&format!("{TEXT}\n{line}\n{SIGNATURE}")), Ok(TEXT));
}

#[test]
fn a_malformed_note_is_refused_with_its_line() {
    let cases = [
        (TEXT.to_owned(), 2, "no empty line before the signatures"),
        (format!("{TEXT}\n"), 4, "no signatures"),
        (note().trim_end().to_owned(), 4, "no line feed at the end"),
        (note().replace('—', "-"), 4, "a signature line starts with an em dash and a space"),
        (format!("{TEXT}\n— PeterNeumann\n"), 4, "no signature after the key name"),
        (format!("{TEXT}\n— Peter+Neumann x08g\n"), 4, "the key name is not one"),
        (format!("{TEXT}\n{SIGNATURE}— Peter !!\n"), 5, "the signature is not base64"),
        (format!("{TEXT}\n— PeterNeumann x08goA==\n"), 4, "the signature is too short"),
        (note().replace("then", "\tthen"), 2, "it has a control character"),
    ];
    for (note, line, problem) in cases {
        assert_eq!(verifier().open(&note), Err(NoteError::Malformed { line, problem }), "{note}");
    }
}

#[test]
fn a_signature_of_the_wrong_length_is_bad() {
    let short = format!("{TEXT}\n— PeterNeumann x08go/ZJ\n");
    assert!(matches!(verifier().open(&short), Err(NoteError::BadSignature(_))));
}

#[test]
fn keys_that_are_none_are_refused() {
    let cases = [
        ("PeterNeumann+c74f20a3", KeyError::Malformed("a part is missing")),
        ("+c74f20a3+ARpc", KeyError::BadName(String::new())),
        ("Peter Neumann+c74f20a3+ARpc", KeyError::BadName("Peter Neumann".into())),
        ("PeterNeumann+c74f20a3+!", KeyError::Malformed("the last part is not base64")),
        ("PeterNeumann+c74f20a3+", KeyError::Malformed("the last part is empty")),
        ("PeterNeumann+c74f20a3+ARpc", KeyError::Malformed("an Ed25519 key has 32 bytes")),
        ("PeterNeumann+c74f20a3+Ahpc", KeyError::UnknownAlgorithm(2)),
    ];
    for (text, expected) in cases {
        assert_eq!(VerifierKey::parse(text).unwrap_err(), expected, "{text}");
    }
    assert!(matches!(
        VerifierKey::parse(&VKEY.replace("c74f20a3", "c74f20a4")).unwrap_err(),
        KeyError::WrongHash { stated, computed } if stated == "c74f20a4" && computed == "c74f20a3"
    ));
    assert!(matches!(SignerKey::parse(VKEY).unwrap_err(), KeyError::Malformed(_)));
}

#[test]
fn only_text_that_can_be_opened_again_is_signed() {
    for text in ["no line feed", "a\ttab\n"] {
        assert!(matches!(signer("log", 1).sign(text), Err(NoteError::Malformed { line: 1, .. })), "{text:?}");
    }
}

#[test]
fn a_private_key_does_not_show_in_debug_output() {
    let secret = SignerKey::parse(SKEY).unwrap();
    assert_eq!(format!("{secret:?}"), "SignerKey(PeterNeumann+c74f20a3)");
}

#[test]
fn a_checkpoint_survives_signing_and_opening() {
    let key = signer("evenkeel.dev/audit", 1);
    let note = Checkpoint::sign(0, hash::empty(), &key);
    assert!(note.starts_with("evenkeel.dev/audit\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— "));
    let opened = Checkpoint::open(&note, key.verifier()).unwrap();
    assert_eq!(opened, Checkpoint { origin: "evenkeel.dev/audit".into(), size: 0, root: hash::empty() });
}

#[test]
fn a_checkpoint_of_another_log_is_refused_although_the_key_signed_it() {
    let key = signer("evenkeel.dev/audit", 1);
    let other = Checkpoint { origin: "elsewhere".into(), size: 1, root: Hash::new([1; 32]) };
    let note = key.sign(&other.to_text()).unwrap();
    assert_eq!(
        Checkpoint::open(&note, key.verifier()),
        Err(CheckpointError::WrongOrigin {
            expected: "evenkeel.dev/audit".into(),
            found: "elsewhere".into()
        })
    );
}

#[test]
fn a_malformed_checkpoint_is_refused_with_its_line() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let cases = [
        (String::new(), 1),
        ("origin".to_owned(), 1),
        (format!("\n1\n{root}\n"), 1),
        ("origin\n".to_owned(), 2),
        (format!("origin\n-1\n{root}\n"), 2),
        (format!("origin\n+1\n{root}\n"), 2),
        (format!("origin\n01\n{root}\n"), 2),
        (format!("origin\n18446744073709551616\n{root}\n"), 2),
        ("origin\n1\n".to_owned(), 3),
        ("origin\n1\n47DE\n".to_owned(), 3),
        (format!("origin\n1\n{root}"), 3),
        (format!("origin\n1\n{root}\n\n"), 4),
        (format!("origin\n1\n{root}\nextension\nunfinished"), 5),
    ];
    for (text, expected) in cases {
        let found = Checkpoint::parse(&text);
        assert!(
            matches!(found, Err(CheckpointError::Malformed { line, .. }) if line == expected),
            "{text:?}: {found:?}"
        );
    }
    assert_eq!(Checkpoint::parse(&format!("origin\n1\n{root}\nextension\n")).map(|read| read.size), Ok(1));
}
