//! A peer that is authenticated and wrong: answers of the right form that say what is not so.

use serde_json::Value;

/// Changes one value somewhere, a little or much.
pub fn twist(value: &mut Value, random: &mut impl FnMut() -> u64) {
    match value {
        Value::Array(all) if !all.is_empty() => {
            let index = random() as usize % all.len();
            twist(&mut all[index], random);
        }
        Value::Object(all) if !all.is_empty() => {
            let index = random() as usize % all.len();
            let twisted = all.values_mut().nth(index);
            twist(twisted.expect("it is below the count"), random);
        }
        Value::Bool(is) => *is = !*is,
        Value::String(text) => match text.pop() {
            Some('e') => *text = "absent".to_owned(),
            Some(_) | None => text.push('x'),
        },
        Value::Number(number) => {
            let off = [1, -1, 7, 720_000, -720_000][random() as usize % 5];
            *value = number.as_i64().map_or(0, |number| number + off).into();
        }
        _ => {}
    }
}
