//! Everybody's notes, in memory, so many and no more.

use std::collections::{BTreeMap, HashMap};

/// The most notes of one person.
pub(super) const MAX_NOTES: usize = 100;
/// The longest note, in characters.
pub(super) const MAX_CHARS: usize = 2000;
/// The most people; whoever has not written for the longest time makes room.
pub(super) const MAX_PEOPLE: usize = 1000;

/// Notes by subject.
#[derive(Debug, Default)]
pub(super) struct Book {
    people: HashMap<String, Page>,
    writes: u64,
}

/// One person's notes. Numbers are never given twice while the person has notes.
#[derive(Debug, Default)]
struct Page {
    notes: BTreeMap<u32, String>,
    last_number: u32,
    last_write: u64,
}

impl Book {
    /// Writes a note down and gives its number; otherwise the words to tell the person.
    pub(super) fn add(&mut self, subject: &str, text: &str) -> Result<u32, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("The note is empty: give it some text.".to_owned());
        }
        if text.chars().count() > MAX_CHARS {
            return Err(format!("The note is too long: {MAX_CHARS} characters at the most."));
        }
        if !self.people.contains_key(subject) && self.people.len() >= MAX_PEOPLE {
            self.forget_the_quietest();
        }
        self.writes += 1;
        let page = self.people.entry(subject.to_owned()).or_default();
        if page.notes.len() >= MAX_NOTES {
            return Err(format!(
                "There are {MAX_NOTES} notes already, the most one person can have: delete one first."
            ));
        }
        page.last_write = self.writes;
        page.last_number += 1;
        page.notes.insert(page.last_number, text.to_owned());
        Ok(page.last_number)
    }

    /// The person's notes, oldest first.
    pub(super) fn of(&self, subject: &str) -> impl Iterator<Item = (u32, &str)> {
        self.people
            .get(subject)
            .into_iter()
            .flat_map(|page| page.notes.iter().map(|(number, text)| (*number, text.as_str())))
    }

    /// Removes a note; otherwise the words to tell the person.
    pub(super) fn delete(&mut self, subject: &str, number: u32) -> Result<(), String> {
        let gone = self.people.get_mut(subject).and_then(|page| page.notes.remove(&number));
        gone.map(drop).ok_or_else(|| format!("There is no note {number}: list_notes shows the numbers."))
    }

    fn forget_the_quietest(&mut self) {
        let quietest =
            self.people.iter().min_by_key(|(_, page)| page.last_write).map(|(subject, _)| subject.clone());
        if let Some(subject) = quietest {
            self.people.remove(&subject);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(book: &Book, subject: &str) -> Vec<(u32, String)> {
        book.of(subject).map(|(number, text)| (number, text.to_owned())).collect()
    }

    #[test]
    fn a_number_is_not_given_twice() {
        let mut book = Book::default();
        assert_eq!(book.add("ada", "one"), Ok(1));
        assert_eq!(book.add("ada", " two \n"), Ok(2));
        book.delete("ada", 2).unwrap();
        assert!(book.delete("ada", 2).is_err());
        assert_eq!(book.add("ada", "three"), Ok(3));
        assert_eq!(texts(&book, "ada"), [(1, "one".to_owned()), (3, "three".to_owned())]);
    }

    #[test]
    fn a_note_has_a_size() {
        let mut book = Book::default();
        assert!(book.add("ada", " \n ").is_err());
        assert!(book.add("ada", &"ü".repeat(MAX_CHARS)).is_ok());
        assert!(book.add("ada", &"ü".repeat(MAX_CHARS + 1)).is_err());
    }

    #[test]
    fn a_person_has_so_many_notes() {
        let mut book = Book::default();
        for _ in 0..MAX_NOTES {
            book.add("ada", "note").unwrap();
        }
        assert!(book.add("ada", "one more").is_err());
        assert!(book.add("alan", "his first").is_ok());
        book.delete("ada", 1).unwrap();
        assert!(book.add("ada", "one more").is_ok());
    }

    #[test]
    fn who_has_not_written_for_longest_makes_room() {
        let mut book = Book::default();
        for n in 0..MAX_PEOPLE {
            book.add(&format!("person-{n}"), "note").unwrap();
        }
        book.add("person-0", "again").unwrap();
        book.add("newcomer", "hello").unwrap();
        assert_eq!(book.people.len(), MAX_PEOPLE);
        assert_eq!(texts(&book, "person-1"), []);
        assert_eq!(texts(&book, "person-0").len(), 2);
        assert_eq!(texts(&book, "newcomer").len(), 1);
    }
}
