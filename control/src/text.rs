//! Characters of a text that somebody else wrote and that a terminal does not show: they change what stands around them.

/// Whether a character is a control, or a format character that is not seen: it turns the direction of text, joins or
/// parts letters, or ends a line.
pub(crate) fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_known() {
        for unseen in "\u{1b}\u{9b}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}"
            .chars()
        {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
        for seen in "a é ü א ع 漢 🙂 €–\u{301}".chars() {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }
}
