//! The two people one can be.

/// Somebody to sign in as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// The stable identifier: `sub` of the userinfo answer, and the value of the button.
    pub(crate) sub: &'static str,
    pub(crate) name: &'static str,
    pub(crate) username: &'static str,
    pub(crate) email: &'static str,
    /// Stands where a picture would.
    pub(crate) initials: &'static str,
    /// A word about them, for the page.
    pub(crate) about: &'static str,
}

/// Everybody.
pub(crate) static PEOPLE: [Person; 2] = [
    Person {
        sub: "demo-ada",
        name: "Ada Lovelace",
        username: "ada",
        email: "ada@example.com",
        initials: "AL",
        about: "Mathematician, 1815–1852",
    },
    Person {
        sub: "demo-alan",
        name: "Alan Turing",
        username: "alan",
        email: "alan@example.com",
        initials: "AT",
        about: "Computer scientist, 1912–1954",
    },
];

impl Person {
    /// Who has this subject.
    pub(crate) fn of(sub: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|person| person.sub == sub)
    }
}
