//! The syntax of JSON (RFC 8259): steps over values without building them.
//!
//! * JSON-1  What is accepted is JSON: every value that is stepped over is checked whole.
//! * JSON-2  Arrays, and what is in them, may be nested to any depth: they take memory, not stack.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::memory;

/// What the messages about memory call a text.
const TEXT: &str = "a JSON text";

/// A place in a JSON text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The front of a text.
    ///
    /// Errors: `InvalidArgument` if it is not UTF-8.
    pub(super) fn new(text: &'a [u8]) -> Result<Scanner<'a>> {
        let text =
            std::str::from_utf8(text).map_err(|error| wrong("is no UTF-8", error.valid_up_to()))?;
        Ok(Scanner { text, at: 0 })
    }

    /// Passes white space and returns the byte after it, which stays.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Passes white space, and `byte` if it follows.
    pub(super) fn accept(&mut self, byte: u8) -> bool {
        let follows = self.peek() == Some(byte);
        self.at += usize::from(follows);
        follows
    }

    /// Passes white space and `byte`, which must follow.
    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        match self.accept(byte) {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong()),
        }
    }

    /// Passes the name of an object's member and the colon after it.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>> {
        let string = self.string()?;
        self.expect(b':')?;
        let inside = &string[1..string.len() - 1];
        match inside.contains('\\') {
            true => unescaped(inside).map(Cow::Owned),
            false => Ok(Cow::Borrowed(inside)),
        }
    }

    /// Passes a value, and returns its text (JSON-1, JSON-2).
    pub(super) fn value(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        // The brackets that close what is open.
        let mut open = Vec::new();
        loop {
            let close = match self.peek() {
                Some(b'{') => b'}',
                Some(b'[') => b']',
                _ => 0,
            };
            if close == 0 {
                self.scalar()?;
            } else {
                self.at += 1;
                if !self.accept(close) {
                    memory::push(&mut open, close, TEXT)?;
                    self.member(close)?;
                    continue;
                }
            }
            // A value has ended. What it is in may end too.
            loop {
                match open.last() {
                    None => return Ok(&self.text[start..self.at]),
                    Some(&close) if self.accept(close) => open.pop(),
                    Some(&close) => {
                        self.expect(b',')?;
                        self.member(close)?;
                        break;
                    }
                };
            }
        }
    }

    /// Passes what comes before the value of an object's member; nothing in an array.
    fn member(&mut self, close: u8) -> Result<()> {
        if close == b'}' {
            self.string()?;
            self.expect(b':')?;
        }
        Ok(())
    }

    /// Passes a string, a number, or a name of a value.
    fn scalar(&mut self) -> Result<()> {
        let rest = &self.text[self.at..];
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let named = ["null", "true", "false"].into_iter();
                let mut named = named.filter(|name| rest.starts_with(name));
                self.at += named.next().ok_or_else(|| self.wrong())?.len();
                Ok(())
            }
        }
    }

    /// Passes a number.
    fn number(&mut self) -> Result<()> {
        self.accept_now(b"-");
        if !self.accept_now(b"0") {
            self.digits()?;
        }
        if self.accept_now(b".") {
            self.digits()?;
        }
        if self.accept_now(b"eE") {
            self.accept_now(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        match count {
            0 => Err(self.wrong()),
            _ => Ok(()),
        }
    }

    /// Passes one of the bytes, if it follows without white space.
    fn accept_now(&mut self, bytes: &[u8]) -> bool {
        let next = self.text.as_bytes().get(self.at);
        let follows = next.is_some_and(|next| bytes.contains(next));
        self.at += usize::from(follows);
        follows
    }

    /// Passes a string, and returns its text with the quotes.
    fn string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.at - 1;
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let rest = &self.text[self.at..];
                    let (_, length) = escaped(rest).ok_or_else(|| self.wrong())?;
                    self.at += length;
                }
                Some(b' '..) => self.at += 1,
                _ => return Err(self.wrong()),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at])
    }

    fn wrong(&self) -> Error {
        wrong("is no JSON", self.at)
    }
}

fn wrong(what: &str, at: usize) -> Error {
    Error::invalid_argument(format!("the text {what} at byte {at}"))
}

/// The character of the escape at the front of `text`, and the length of the escape.
fn escaped(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().get(1)? {
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return escaped_unit(text),
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        _ => return None,
    };
    Some((character, 2))
}

/// [`escaped`] for an escape with four digits, or for two that are a pair of surrogates.
fn escaped_unit(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, 6));
    }
    let pair = [first, unit(6)?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, 12))
}

/// A string without its escapes.
fn unescaped(string: &str) -> Result<String> {
    let mut bytes = memory::room_for(string.len(), TEXT)?;
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let impossible = || Error::internal("an escape that was checked is wrong");
        let (character, length) = escaped(&rest[at..]).ok_or_else(impossible)?;
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| Error::internal("a name is no UTF-8"))
}

/// Appends a string in quotes. One string is always written in the same way.
pub(super) fn write_string(string: &str, out: &mut Vec<u8>) -> Result<()> {
    memory::append(out, b"\"", TEXT)?;
    let needs_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let mut rest = string.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        memory::append(out, &rest[..at], TEXT)?;
        let digits = b"0123456789abcdef";
        let byte = rest[at];
        let [high, low] = [byte >> 4, byte & 15].map(|digit| digits[usize::from(digit)]);
        match byte {
            b'"' | b'\\' => memory::append(out, &[b'\\', byte], TEXT)?,
            _ => memory::append(out, &[b'\\', b'u', b'0', b'0', high, low], TEXT)?,
        }
        rest = &rest[at + 1..];
    }
    memory::append(out, rest, TEXT)?;
    memory::append(out, b"\"", TEXT)
}
