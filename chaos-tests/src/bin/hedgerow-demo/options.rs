//! The command line.

const USAGE: &str = "usage: hedgerow-demo [--keep] [--revisions N] [--steps N]

  --keep           leave the laboratory up at the end and print how to enter it
  --revisions N    how many revisions the storm applies in a row (default 200)
  --steps N        play only the first N steps";

/// How many revisions are applied in a row.
const REVISIONS_DEFAULT: u32 = 200;
/// How many lines of every log are shown when a step fails.
const LOG_LINES_DEFAULT: usize = 15;

/// What was asked for.
pub(crate) struct Options {
    pub(crate) keep: bool,
    pub(crate) revisions: u32,
    pub(crate) steps: usize,
    pub(crate) log_lines: usize,
}

impl Options {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { keep: false, revisions: REVISIONS_DEFAULT, steps: usize::MAX, log_lines: LOG_LINES_DEFAULT };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => options.keep = true,
                "--revisions" => {
                    options.revisions = number(words.next()).ok_or("--revisions needs a number of 1 or more")?;
                }
                "--steps" => {
                    let steps = number(words.next()).ok_or("--steps needs a number of 1 or more")?;
                    options.steps = usize::try_from(steps).map_err(|error| error.to_string())?;
                }
                "--help" | "-h" => return Err(USAGE.to_owned()),
                other => return Err(format!("`{other}` is not an option\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn number(word: Option<String>) -> Option<u32> {
    word?.parse().ok().filter(|number| *number > 0)
}
