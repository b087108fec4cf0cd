//! JSON by the letter of RFC 8259, to hold another reader against: nothing of it is shared with that.

/// A value.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool,
    /// As it is written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// In the order in which they stand there, no name twice.
    Object(Vec<(String, Json)>),
}

/// Deeper than anything that the other reader takes.
const DEPTH_MAX: usize = 200;

impl Json {
    /// `None` where it is not exactly one value, or an object anywhere in it has a name twice.
    pub(crate) fn read(bytes: &[u8]) -> Option<Json> {
        let mut reader = Reader(std::str::from_utf8(bytes).ok()?);
        let value = reader.value(DEPTH_MAX)?;
        reader.blanks();
        reader.0.is_empty().then_some(value)
    }

    /// An object's value of that name; `None` also where it is `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(all) = self else {
            return None;
        };
        let (_, value) = all.iter().find(|(known, _)| known == name)?;
        (!matches!(value, Json::Null)).then_some(value)
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        let deeper = depth.checked_sub(1)?;
        self.blanks();
        match self.0.bytes().next()? {
            b'{' => self.object(deeper),
            b'[' => self.array(deeper),
            b'"' => Some(Json::Text(self.text()?)),
            b't' => self.skip("true").then_some(Json::Bool),
            b'f' => self.skip("false").then_some(Json::Bool),
            b'n' => self.skip("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut all: Vec<(String, Json)> = Vec::new();
        self.skip("{");
        self.blanks();
        if self.skip("}") {
            return Some(Json::Object(all));
        }
        loop {
            self.blanks();
            let name = self.text()?;
            self.blanks();
            let is_new = all.iter().all(|(known, _)| *known != name);
            if !is_new || !self.skip(":") {
                return None;
            }
            all.push((name, self.value(depth)?));
            self.blanks();
            if !self.skip(",") {
                return self.skip("}").then_some(Json::Object(all));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut all = Vec::new();
        self.skip("[");
        self.blanks();
        if self.skip("]") {
            return Some(Json::Array(all));
        }
        loop {
            all.push(self.value(depth)?);
            self.blanks();
            if !self.skip(",") {
                return self.skip("]").then_some(Json::Array(all));
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        if !self.skip("\"") {
            return None;
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escaped()?),
                '\0'..='\u{1f}' => return None,
                other => text.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            same @ ('"' | '\\' | '/') => same,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => match self.unit()? {
                high @ 0xd800..0xdc00 => {
                    let low = if self.skip("\\u") { self.unit()? } else { 0 };
                    char::decode_utf16([high, low]).next()?.ok()?
                }
                other => char::from_u32(other.into())?,
            },
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | u16::try_from(self.next()?.to_digit(16)?).ok()?;
        }
        Some(unit)
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.0;
        self.skip("-");
        if !self.skip("0") {
            self.digits()?;
        }
        if self.skip(".") {
            self.digits()?;
        }
        if self.skip("e") || self.skip("E") {
            let _ = self.skip("+") || self.skip("-");
            self.digits()?;
        }
        let number = start.strip_suffix(self.0)?;
        Some(Json::Number(number.to_owned()))
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_digit());
        let any = rest.len() < self.0.len();
        self.0 = rest;
        any.then_some(())
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }
}
