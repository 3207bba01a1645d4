//! A page of Markdown: its fenced blocks, and the commands in those that are transcripts.

use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};

/// A transcript that the test plays: `$ command` with its output.
const TRANSCRIPT: &str = "console";

/// Words behind `console` that say how output is compared.
const NUMBERS_VARY: &str = "numbers-vary";

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the fence, counted from 1.
    pub(crate) line: usize,
    /// What stands behind the fence: the kind, and words.
    pub(crate) info: String,
    /// Its text, without the fence's indentation.
    pub(crate) lines: Vec<String>,
    indent: usize,
}

/// A command of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Its line in the page, counted from 1.
    pub(crate) line: usize,
    /// What is typed.
    pub(crate) text: String,
    /// What is seen.
    pub(crate) output: Vec<String>,
    /// The lines of the page that hold what is seen, counted from 0.
    pub(crate) place: Range<usize>,
    pub(crate) indent: usize,
    /// Whether a number may be another one.
    pub(crate) numbers_vary: bool,
}

impl Block {
    pub(crate) fn kind(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }

    pub(crate) fn is_transcript(&self) -> bool {
        self.kind() == TRANSCRIPT
    }

    /// What is typed in it, one command after the other. `> ` goes on with the command before it.
    pub(crate) fn commands(&self) -> Result<Vec<Command>> {
        let words: Vec<&str> = self.info.split_whitespace().skip(1).collect();
        let known = words.iter().all(|word| *word == NUMBERS_VARY);
        ensure!(known, "line {}: '{}': only '{NUMBERS_VARY}' is known", self.line, self.info);
        let mut commands: Vec<Command> = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            // The fence is a line too.
            let here = self.line + number;
            if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command {
                    line: here + 1,
                    text: text.to_owned(),
                    output: Vec::new(),
                    place: here + 1..here + 1,
                    indent: self.indent,
                    numbers_vary: !words.is_empty(),
                });
                continue;
            }
            let last = commands
                .last_mut()
                .with_context(|| format!("line {}: a transcript begins with '$ '", here + 1))?;
            let goes_on = line.strip_prefix('>').filter(|_| last.output.is_empty());
            if let Some(more) = goes_on {
                last.text.push('\n');
                last.text.push_str(more.strip_prefix(' ').unwrap_or(more));
                last.place = here + 1..here + 1;
            } else {
                last.output.push(line.clone());
                last.place.end = here + 1;
            }
        }
        Ok(commands)
    }
}

/// All fenced blocks of a page.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut is_blank_before = true;
    let mut is_in_list = false;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        match (&mut open, trimmed.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                let cut = line.get(block.indent.min(indent)..).unwrap_or_default();
                block.lines.push(cut.to_owned());
            }
            (None, Some(info)) => {
                let info = info.trim().to_owned();
                open = Some(Block { line: number + 1, info, lines: Vec::new(), indent });
            }
            (None, None) => {
                is_in_list |= trimmed.starts_with("* ") || trimmed.starts_with("- ");
                is_in_list |=
                    trimmed.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
                is_in_list &= indent > 0 || trimmed.is_empty() || is_list_item(trimmed);
                if indent >= 4 && is_blank_before && !is_in_list {
                    bail!(
                        "line {}: an indented block says not what it is; use a fence",
                        number + 1
                    );
                }
            }
        }
        is_blank_before = trimmed.is_empty();
    }
    ensure!(open.is_none(), "a fence is not closed");
    Ok(blocks)
}

fn is_list_item(text: &str) -> bool {
    let numbered = text.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
    text.starts_with("* ") || text.starts_with("- ") || numbered
}

/// The page with other outputs in these places.
pub(crate) fn with_outputs(text: &str, seen: &[(&Command, Vec<String>)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // From the end: what is replaced moves nothing that is still to be replaced.
    let mut in_order: Vec<_> = seen.iter().collect();
    in_order.sort_by_key(|(command, _)| std::cmp::Reverse(command.place.start));
    for (command, output) in in_order {
        let indent = " ".repeat(command.indent);
        let output = output.iter().map(|line| format!("{indent}{line}").trim_end().to_owned());
        lines.splice(command.place.clone(), output);
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_transcript_is_taken_apart_and_put_together() {
    let page = "# T\n\n```console numbers-vary\n$ one \\\n>   two\nout\n$ three\n```\n\n1. item\n\n   \
                ```text\n   x\n   ```\n";
    let blocks = blocks(page).expect("a page");
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[1].lines, ["x"]);
    let commands = blocks[0].commands().expect("a transcript");
    assert_eq!(commands[0].text, "one \\\n  two");
    assert_eq!((commands[0].line, commands[0].place.clone()), (4, 5..6));
    assert_eq!((commands[1].line, commands[1].place.clone()), (7, 7..7));
    assert!(commands[0].numbers_vary);
    let seen = [(&commands[0], vec!["new".to_owned()]), (&commands[1], vec!["more".to_owned()])];
    let blessed = with_outputs(page, &seen);
    assert!(blessed.contains(">   two\nnew\n$ three\nmore\n```\n"), "{blessed}");
}

#[test]
fn a_block_that_does_not_say_what_it_is_is_found() {
    assert!(blocks("text\n\n    mpgate keys list\n").is_err());
    assert!(blocks("* item\n\n    more of it\n").is_ok());
    assert!(blocks("```text\nx\n").is_err());
    let unknown = blocks("```console whatever\n$ x\n```\n").expect("blocks");
    assert!(unknown[0].commands().is_err());
}
