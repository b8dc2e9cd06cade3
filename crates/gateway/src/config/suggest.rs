//! "Did you mean …?"

/// The candidate that `written` most likely stands for, if any is near.
#[must_use]
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('-', "_");
    // A third of the word may be wrong, so that `x` does not suggest `url`. Long input is cut: the cost is a product.
    let written: String = written.chars().take(64).collect();
    let allowed = (written.chars().count() / 3).clamp(1, 4);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let near = candidates
        .iter()
        .map(|candidate| (distance(&written, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| *candidate);
    // `prefix` is far from `key_prefix` by letters, but a word of it.
    near.or_else(|| candidates.into_iter().find(|candidate| candidate.split('_').any(|word| word == written)))
}

/// `; did you mean "…"?`, or nothing.
#[must_use]
pub(super) fn hint<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, candidates).map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// How many letters have to be added, removed or changed (Levenshtein); two exchanged neighbours count as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let keys = ["public_url", "listen", "store", "upstream", "url"];
        assert_eq!(nearest("pubic_url", keys), Some("public_url"));
        assert_eq!(nearest("public-url", keys), Some("public_url"));
        assert_eq!(nearest("lisetn", keys), Some("listen"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("x", keys), None);
        assert_eq!(nearest("prefix", ["url", "key_prefix"]), Some("key_prefix"));
    }
}
