//! Taking a JSON object apart by field, so that whatever is wrong is named by its path.

use std::num::NonZeroUsize;

use serde_json::{Map, Value};

use crate::error::{ApiError, Code};

/// A JSON object and where it stands in the request.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

/// A type that a field may have.
pub trait Field: Sized {
    /// What a value must be, for messages.
    const EXPECTED: &'static str;
    /// Takes the value, or gives it back.
    ///
    /// # Errors
    /// The value, when it is of another type.
    fn take(value: Value) -> Result<Self, Value>;
}

impl Fields {
    /// A body.
    ///
    /// # Errors
    /// When it is no object.
    pub fn of_body(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                path: String::new(),
            }),
            other => Err(ApiError::new(
                Code::InvalidValue,
                format!("the body is {}; it must be an object", shown(&other)),
            )),
        }
    }

    /// A value within the body.
    ///
    /// # Errors
    /// When it is no object.
    pub fn of_value(value: Value, path: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                path: path.to_owned(),
            }),
            other => Err(ApiError::value(path, shown(&other), "an object")),
        }
    }

    /// The path of a field.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Takes a field of any type; `None` where it is missing or null.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field that may be missing or null.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn optional<T: Field>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let taken = self.value(name).map(T::take).transpose();
        taken.map_err(|value| ApiError::value(&self.path(name), shown(&value), T::EXPECTED))
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// When it is missing or of another type.
    pub fn required<T: Field>(&mut self, name: &str) -> Result<T, ApiError> {
        self.optional(name)?
            .ok_or_else(|| self.missing(name, T::EXPECTED))
    }

    /// Takes a field that must be there and may be of several types, which `expected` names for messages.
    ///
    /// # Errors
    /// When it is missing.
    pub fn required_value(&mut self, name: &str, expected: &str) -> Result<Value, ApiError> {
        self.value(name).ok_or_else(|| self.missing(name, expected))
    }

    fn missing(&self, name: &str, expected: &str) -> ApiError {
        let path = self.path(name);
        let message = format!("{path} is missing; it must be {expected}");
        ApiError::of(Code::InvalidValue, path, message)
    }

    /// Takes an object that may be missing.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, ApiError> {
        let map: Option<Map<String, Value>> = self.optional(name)?;
        let path = self.path(name);
        Ok(map.map(|map| Fields { map, path }))
    }
}

/// A value in a message: short, and never much of what the client wrote.
pub fn shown(value: &Value) -> String {
    const MOST_CHARS: usize = 40;
    match value {
        Value::Null => "null".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(MOST_CHARS) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

impl Field for String {
    const EXPECTED: &'static str = "a string";
    fn take(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        }
    }
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";
    fn take(value: Value) -> Result<Self, Value> {
        value.as_bool().ok_or(value)
    }
}

impl Field for f32 {
    const EXPECTED: &'static str = "a number";
    fn take(value: Value) -> Result<Self, Value> {
        let number = value.as_f64().map(|number| {
            // What is above 0 stays so.
            let least = if number > 0.0 {
                f32::MIN_POSITIVE
            } else {
                f32::NEG_INFINITY
            };
            (number as f32).max(least)
        });
        number.ok_or(value)
    }
}

impl Field for i64 {
    const EXPECTED: &'static str = "a whole number";
    fn take(value: Value) -> Result<Self, Value> {
        whole(&value).ok_or(value)
    }
}

/// A count.
impl Field for usize {
    const EXPECTED: &'static str = "a whole number, at least 0";
    fn take(value: Value) -> Result<Self, Value> {
        let count = whole(&value).and_then(|number| usize::try_from(number).ok());
        count.ok_or(value)
    }
}

/// A count of at least one.
impl Field for NonZeroUsize {
    const EXPECTED: &'static str = "a whole number, at least 1";
    fn take(value: Value) -> Result<Self, Value> {
        let count = whole(&value).and_then(|number| usize::try_from(number).ok());
        count.and_then(Self::new).ok_or(value)
    }
}

/// An id of a token.
impl Field for u32 {
    const EXPECTED: &'static str = "a token id, a whole number from 0 to 4294967295";
    fn take(value: Value) -> Result<Self, Value> {
        let id = whole(&value).and_then(|number| u32::try_from(number).ok());
        id.ok_or(value)
    }
}

impl Field for Map<String, Value> {
    const EXPECTED: &'static str = "an object";
    fn take(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(map) => Ok(map),
            other => Err(other),
        }
    }
}

impl Field for Vec<Value> {
    const EXPECTED: &'static str = "a list";
    fn take(value: Value) -> Result<Self, Value> {
        match value {
            Value::Array(values) => Ok(values),
            other => Err(other),
        }
    }
}

/// Whole numbers, also where a client writes them as `1.0`.
fn whole(value: &Value) -> Option<i64> {
    const MOST_EXACT: f64 = (1_u64 << 53) as f64;
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= MOST_EXACT).then_some(number as i64)
    })
}

/// Bounds the length of a list.
///
/// # Errors
/// Names list, length and bound.
pub fn at_most(most: usize, path: &str, n: usize, things: &str) -> Result<(), ApiError> {
    if n <= most {
        return Ok(());
    }
    let value = format!("a list of {n} {things}");
    Err(ApiError::value(path, value, format!("at most {most}")))
}

/// Takes every value of a list.
///
/// # Errors
/// Names the first that is of another type.
pub fn each<T: Field>(values: Vec<Value>, path: &str) -> Result<Vec<T>, ApiError> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            T::take(value).map_err(|value| {
                ApiError::value(&format!("{path}[{index}]"), shown(&value), T::EXPECTED)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use serde_json::json;

    use super::Fields;

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let body = json!({"a": {"b": "x"}, "n": -1, "whole": 3.0, "none": null});
        let mut fields = Fields::of_body(body).unwrap();
        let mut a = fields.object("a").unwrap().unwrap();
        let error = a.optional::<f32>("b").unwrap_err();
        assert_eq!(error.param(), Some("a.b"));
        assert_eq!(error.to_string(), r#"a.b is "x"; it must be a number"#);
        let error = fields.required::<usize>("n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "n is -1; it must be a whole number, at least 0"
        );
        assert_eq!(fields.required::<usize>("whole"), Ok(3));
        assert_eq!(fields.optional::<bool>("none"), Ok(None));
        let error = fields.required::<bool>("none").unwrap_err();
        assert_eq!(
            error.to_string(),
            "none is missing; it must be true or false"
        );
    }

    #[test]
    fn a_count_from_one_says_so_below_it() {
        for number in [0, -1] {
            let mut fields = Fields::of_body(json!({"n": number})).unwrap();
            let error = fields.required::<NonZeroUsize>("n").unwrap_err();
            let message = format!("n is {number}; it must be a whole number, at least 1");
            assert_eq!(error.to_string(), message);
        }
        let mut fields = Fields::of_body(json!({"n": 1.0})).unwrap();
        let one = fields.required::<NonZeroUsize>("n");
        assert_eq!(one, Ok(NonZeroUsize::MIN));
    }

    #[test]
    fn a_field_of_several_types_that_is_missing_is_told_what_it_must_be() {
        let body = json!({"a": {"none": null, "text": "x"}});
        let mut fields = Fields::of_body(body).unwrap();
        let mut a = fields.object("a").unwrap().unwrap();
        for name in ["none", "other"] {
            let error = a.required_value(name, "a string or a list").unwrap_err();
            let message = format!("a.{name} is missing; it must be a string or a list");
            assert_eq!(error.to_string(), message);
        }
        let text = a.required_value("text", "a string or a list");
        assert_eq!(text, Ok(json!("x")));
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let error = Fields::of_body(json!("页".repeat(1000))).unwrap_err();
        assert!(error.to_string().chars().count() < 100, "{error}");
    }
}
