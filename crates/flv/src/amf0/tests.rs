use std::{collections::HashMap, io::Cursor};

use proptest::prelude::*;
use rml_amf0::Amf0Value;

use super::*;

fn bytes_of(value: &Value) -> Vec<u8> {
    write_all([value])
}

#[test]
fn reads_what_encoders_send_and_rml_amf0_does_not() {
    let long = "x".repeat(70_000);
    assert_eq!(
        read_all(&bytes_of(&long.as_str().into())).unwrap(),
        [long.as_str().into()]
    );
    let date = [[11].as_slice(), &1.5f64.to_be_bytes(), &[0, 0]].concat();
    assert_eq!(read_all(&date).unwrap(), [Value::Date(1.5)]);
    // Typed object with class "A", one boolean.
    let typed = [16, 0, 1, b'A', 0, 1, b'b', 1, 1, 0, 0, 9];
    assert_eq!(
        read_all(&typed).unwrap()[0].get("b"),
        Some(&Value::Boolean(true))
    );
    assert_eq!(
        read_all(&[7, 0, 1, 13]).unwrap(),
        [Value::Undefined, Value::Undefined]
    );
    // An XML document is a long string.
    assert_eq!(read_all(&[15, 0, 0, 0, 1, b'x']).unwrap(), ["x".into()]);
}

#[test]
fn avmplus_ends_the_message_as_undefined() {
    assert_eq!(
        read_all(&[5, 17, 0xde, 0xad]).unwrap(),
        [Value::Null, Value::Undefined]
    );
}

#[test]
fn ecma_arrays_ignore_their_count_and_a_missing_end() {
    let mut bytes = bytes_of(&Value::EcmaArray(vec![("a".into(), 1.0.into())]));
    bytes[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    let expected = [Value::EcmaArray(vec![("a".into(), 1.0.into())])];
    assert_eq!(read_all(&bytes).unwrap(), expected);
    bytes.truncate(bytes.len() - 3);
    assert_eq!(read_all(&bytes).unwrap(), expected);
}

#[test]
fn nesting_ends_in_an_error_not_in_a_stack_overflow() {
    let nested = |levels: usize| {
        let mut value = Value::Null;
        for _ in 0..levels {
            value = Value::StrictArray(vec![value]);
        }
        bytes_of(&value)
    };
    assert!(read_all(&nested(DEPTH_MAX)).is_ok());
    assert!(matches!(
        read_all(&nested(DEPTH_MAX + 1)),
        Err(Error::TooDeep(_))
    ));
    let objects = [3, 0, 1, b'a'].repeat(50_000);
    assert!(matches!(read_all(&objects), Err(Error::TooDeep(_))));
    let arrays = [10, 0, 0, 0, 1].repeat(50_000);
    assert!(matches!(read_all(&arrays), Err(Error::TooDeep(_))));
}

#[test]
fn claims_cost_nothing() {
    assert!(matches!(
        read_all(&[10, 255, 255, 255, 255, 5]),
        Err(Error::Truncated(6))
    ));
    assert!(matches!(
        read_all(&[12, 255, 255, 255, 255, b'x']),
        Err(Error::Truncated(5))
    ));
    assert_eq!(read_all(&[5; VALUES_MAX + 1]), Err(Error::TooMany));
    assert_eq!(read_all(&[4]), Err(Error::Marker { marker: 4, at: 0 }));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>()
            .prop_filter("NaN is not equal to itself", |n| !n.is_nan())
            .prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        (0.0..1e15).prop_map(Value::Date),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let pairs = proptest::collection::vec(("[a-z]{1,8}", inner.clone()), 0..6);
        prop_oneof![
            pairs.clone().prop_map(Value::Object),
            pairs.prop_map(Value::EcmaArray),
            proptest::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

/// The same value as `rml_amf0` knows it, where it does.
fn as_rml(value: &Value) -> Amf0Value {
    let map = |pairs: &[(String, Value)]| -> HashMap<String, Amf0Value> {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), as_rml(value)))
            .collect()
    };
    match value {
        Value::Number(number) => Amf0Value::Number(*number),
        Value::Boolean(boolean) => Amf0Value::Boolean(*boolean),
        Value::String(string) => Amf0Value::Utf8String(string.clone()),
        Value::Object(pairs) | Value::EcmaArray(pairs) => Amf0Value::Object(map(pairs)),
        Value::StrictArray(items) => Amf0Value::StrictArray(items.iter().map(as_rml).collect()),
        Value::Null => Amf0Value::Null,
        Value::Date(_) | Value::Undefined => Amf0Value::Undefined,
    }
}

fn has_date(value: &Value) -> bool {
    match value {
        Value::Date(_) => true,
        Value::Object(pairs) | Value::EcmaArray(pairs) => pairs.iter().any(|(_, v)| has_date(v)),
        Value::StrictArray(items) => items.iter().any(has_date),
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(values in proptest::collection::vec(any_value(), 0..5)) {
        prop_assert_eq!(read_all(&write_all(&values)).unwrap(), values);
    }

    #[test]
    fn rml_amf0_agrees(value in any_value().prop_filter("it has no dates", |v| !has_date(v))) {
        let bytes = bytes_of(&value);
        let theirs = rml_amf0::deserialize(&mut Cursor::new(&bytes)).unwrap();
        prop_assert_eq!(&theirs, &vec![as_rml(&value)]);
        let back = read_all(&rml_amf0::serialize(&theirs).unwrap()).unwrap();
        prop_assert_eq!(back.iter().map(as_rml).collect::<Vec<_>>(), theirs);
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn cut_or_changed_bytes_never_panic(value in any_value(), at: usize, byte: u8, cut: usize) {
        let mut bytes = bytes_of(&value);
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut % (length + 1));
        let _ = read_all(&bytes);
    }
}
