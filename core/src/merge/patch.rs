//! `json_merge_patch`: JSON texts changed as in RFC 7396, and patches composed.
//!
//! Not every sequence of patches is a patch: `{"a":null}` and then `{"a":{"b":1}}` makes `a` an object with one member,
//! whatever it was before, and a patch can only add to an object. So a composed operand has a form of its own. It
//! begins with the byte 1, which no JSON text does, and continues with JSON: an object changes an object's members,
//! `null` removes a member, and an array of one value puts that value in place of what was there.

use std::borrow::Cow;

use super::json_text::{Scanner, write_string};
use super::operator::{MergeOperator, is_storable, refused, too_long};
use crate::error::{Error, ErrorKind, Result};
use crate::memory;

const NAME: &str = "json_merge_patch";
/// The first byte of a composed operand.
const COMPOSED: u8 = 1;
/// How deep objects may be nested. Those in an array do not count.
const MAX_DEPTH: usize = 100;
/// What the messages about memory call a part of a patch.
const PATCH: &str = "a JSON patch";

pub(super) struct JsonMergePatch;

/// What happens to a value. A value itself is what puts it there: a `Text`, or a `Whole` with such members.
enum Change<'a> {
    /// It is removed, or was never there.
    Remove,
    /// This text of something other than an object takes its place.
    Text(&'a str),
    /// An object with these members takes its place.
    Whole(Members<'a>),
    /// The members of the object change; what is no object first becomes an empty one.
    Merge(Members<'a>),
}

/// The members of an object, sorted by name; each name once.
type Members<'a> = Vec<Member<'a>>;

struct Member<'a> {
    name: Cow<'a, str>,
    /// Its place in the text.
    place: usize,
    change: Change<'a>,
}

/// What a text is read as.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Value,
    Patch,
    Composed,
}

impl<'a> Change<'a> {
    fn of_value(text: &'a [u8]) -> Result<Change<'a>> {
        read(text, Form::Value).map_err(|error| explained("the base", error))
    }

    fn of_operand(text: &'a [u8]) -> Result<Change<'a>> {
        let change = match text.split_first() {
            Some((&COMPOSED, text)) => read(text, Form::Composed),
            _ => read(text, Form::Patch),
        };
        change.map_err(|error| explained("an operand", error))
    }

    /// One change with the effect of this one and then `newer`.
    fn then(self, newer: Change<'a>) -> Result<Change<'a>> {
        let Change::Merge(newer) = newer else {
            return Ok(newer);
        };
        Ok(match self {
            Change::Merge(older) => Change::Merge(overlay(older, newer, true)?),
            Change::Whole(older) => Change::Whole(overlay(older, newer, false)?),
            Change::Text(_) | Change::Remove => Change::Whole(overlay(Vec::new(), newer, false)?),
        })
    }

    /// One change with the effect of `operands`.
    fn of_operands(operands: &'a [&'a [u8]]) -> Result<Change<'a>> {
        let mut changes = memory::room_for(operands.len(), PATCH)?;
        for operand in operands {
            changes.push(Change::of_operand(operand)?);
        }
        // Neighbours in pairs: otherwise each small change would walk all members that came before it.
        while changes.len() > 1 {
            let mut halved = memory::room_for(changes.len().div_ceil(2), PATCH)?;
            let mut left = changes.into_iter();
            while let Some(older) = left.next() {
                halved.push(match left.next() {
                    Some(newer) => older.then(newer)?,
                    None => older,
                });
            }
            changes = halved;
        }
        let change = changes.pop();
        change.ok_or_else(|| Error::internal("a merge without operands"))
    }

    /// Appends the text of a composed operand, or of a value.
    fn write(&self, form: Form, out: &mut Vec<u8>) -> Result<()> {
        let (members, is_replaced) = match self {
            Change::Remove => return memory::append(out, b"null", PATCH),
            Change::Text(text) => return bracketed(form, out, |out| append(out, text)),
            Change::Whole(members) => (members, true),
            Change::Merge(members) => (members, false),
        };
        match is_replaced {
            true => bracketed(form, out, |out| write_members(members, Form::Value, out)),
            false => write_members(members, form, out),
        }
    }
}

/// Names the argument whose text was refused.
fn explained(what: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidArgument => refused(NAME, format_args!("{what}: {}", error.message())),
        _ => error,
    }
}

fn append(out: &mut Vec<u8>, text: &str) -> Result<()> {
    memory::append(out, text.as_bytes(), PATCH)
}

/// Appends what takes the place of another value: in a composed operand, in brackets.
fn bracketed(
    form: Form,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    if form == Form::Value {
        return write(out);
    }
    append(out, "[")?;
    write(out)?;
    append(out, "]")
}

fn write_members(members: &[Member<'_>], form: Form, out: &mut Vec<u8>) -> Result<()> {
    append(out, "{")?;
    for (place, member) in members.iter().enumerate() {
        if place > 0 {
            append(out, ",")?;
        }
        write_string(&member.name, out)?;
        append(out, ":")?;
        member.change.write(form, out)?;
    }
    append(out, "}")
}

/// The members after the changes of `newer`. `keeps_removals`: they are changes themselves.
fn overlay<'a>(
    older: Members<'a>,
    newer: Members<'a>,
    keeps_removals: bool,
) -> Result<Members<'a>> {
    let mut members = memory::room_for(older.len() + newer.len(), PATCH)?;
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let is_older = match (older.peek(), newer.peek()) {
            (Some(older), Some(newer)) => older.name < newer.name,
            (older, None) => older.is_some(),
            (None, Some(_)) => false,
        };
        if is_older {
            members.extend(older.next());
            continue;
        }
        let Some(mut member) = newer.next() else {
            return Ok(members);
        };
        match older.next_if(|older| older.name == member.name) {
            Some(older) => member.change = older.change.then(member.change)?,
            None if keeps_removals => {}
            None => member.change = Change::Remove.then(member.change)?,
        }
        if keeps_removals || !matches!(member.change, Change::Remove) {
            members.push(member);
        }
    }
}

/// Reads a whole text.
fn read(text: &[u8], form: Form) -> Result<Change<'_>> {
    let mut scanner = Scanner::new(text)?;
    let change = read_value(&mut scanner, form, 0)?;
    scanner.end()?;
    match change {
        // RFC 7396: a patch that is no object takes the place of all.
        Change::Remove if form == Form::Patch => Ok(Change::Text("null")),
        Change::Remove => Err(Error::invalid_argument("it removes all")),
        change => Ok(change),
    }
}

fn read_value<'a>(scanner: &mut Scanner<'a>, form: Form, depth: usize) -> Result<Change<'a>> {
    match (scanner.peek(), form) {
        (Some(b'{'), Form::Value) => read_members(scanner, form, depth).map(Change::Whole),
        (Some(b'{'), _) => read_members(scanner, form, depth).map(Change::Merge),
        (Some(b'['), Form::Composed) => {
            scanner.expect(b'[')?;
            let value = read_value(scanner, Form::Value, depth)?;
            scanner.expect(b']')?;
            Ok(value)
        }
        _ => match (scanner.value()?, form) {
            (text, Form::Value) => Ok(Change::Text(text)),
            ("null", _) => Ok(Change::Remove),
            (text, Form::Patch) => Ok(Change::Text(text)),
            (_, Form::Composed) => Err(Error::invalid_argument("it replaces without brackets")),
        },
    }
}

fn read_members<'a>(scanner: &mut Scanner<'a>, form: Form, depth: usize) -> Result<Members<'a>> {
    if depth == MAX_DEPTH {
        let why = format!("its objects are nested more than {MAX_DEPTH} deep");
        return Err(Error::invalid_argument(why));
    }
    scanner.expect(b'{')?;
    let mut members = Vec::new();
    let mut is_over = scanner.accept(b'}');
    while !is_over {
        let member = Member {
            place: members.len(),
            name: scanner.name()?,
            change: read_value(scanner, form, depth + 1)?,
        };
        memory::push(&mut members, member, PATCH)?;
        is_over = scanner.accept(b'}');
        if !is_over {
            scanner.expect(b',')?;
        }
    }
    // The last of several with one name counts.
    members.sort_unstable_by(|a, b| (&a.name, b.place).cmp(&(&b.name, a.place)));
    members.dedup_by(|later, kept| later.name == kept.name);
    Ok(members)
}

impl MergeOperator for JsonMergePatch {
    fn name(&self) -> &str {
        NAME
    }

    fn check(&self, operand: &[u8]) -> Result<()> {
        // A caller's operand is JSON, not a composed one.
        let read = read(operand, Form::Patch);
        read.map(|_| ())
            .map_err(|error| explained("the operand", error))
    }

    fn fold(&self, base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        let base = base.map_or(Ok(Change::Remove), Change::of_value)?;
        let value = base.then(Change::of_operands(operands)?)?;
        let mut text = Vec::new();
        value.write(Form::Value, &mut text)?;
        match text.len() as u64 {
            bytes if is_storable(bytes) => Ok(text),
            bytes => Err(too_long(NAME, bytes)),
        }
    }

    fn compose(&self, operands: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        memory::push(&mut text, COMPOSED, PATCH)?;
        Change::of_operands(operands)?.write(Form::Composed, &mut text)?;
        Ok(is_storable(text.len() as u64).then_some(text))
    }
}
