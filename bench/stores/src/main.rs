//! Compares embedded stores on the records of mcp-login: `calls FOLDER RECORDS ROUNDS [ENGINE…]`, how
//! fast it answers, or `opening FOLDER RECORDS ROUNDS [ENGINE…]`, how long a store takes to open and how large it is.
//!
//! Every measurement is a process of its own, and the engines take turns, so that what else the machine does hits all.
//! What it prints at the end are medians over the rounds, and medians of the ratios to the first engine
//! within each round.

mod engines;
mod phase;
mod records;
mod store;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::phase::Task;

const ENGINES: [&str; 4] = ["redb", "fjall", "sqlite", "heed"];
const OPERATIONS: [&str; 4] = ["insert", "refresh", "take", "get"];
const CALLERS: [u64; 3] = [1, 16, 128];
/// How long each of the calls is measured.
const SECONDS: f64 = 1.0;
/// Minutes of coming and going.
const CHURN: u64 = 60;

/// By phase and figure, then by engine: a value for each round.
type Results = BTreeMap<String, BTreeMap<String, Vec<f64>>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["phase", engine, phase, folder, records, round, seconds] => {
            let task = Task { records: records.parse()?, round: round.parse()?, seconds: seconds.parse()? };
            let figures = phase::run(engine, phase, Path::new(folder), &task).await?;
            println!("{figures}");
            Ok(())
        }
        [what @ ("calls" | "opening"), folder, records, rounds, ref engines @ ..] => {
            let compared = if engines.is_empty() { &ENGINES[..] } else { engines };
            let mut comparison = Comparison {
                folder: folder.into(),
                records: records.parse()?,
                rounds: rounds.parse()?,
                engines: compared.iter().map(|&engine| engine.to_owned()).collect(),
                results: Results::new(),
            };
            comparison.fill()?;
            if what == "calls" {
                comparison.calls()?;
            } else {
                comparison.opening()?;
            }
            comparison.print();
            Ok(())
        }
        _ => anyhow::bail!("calls or opening, then FOLDER RECORDS ROUNDS [ENGINE…]"),
    }
}

struct Comparison {
    folder: PathBuf,
    records: u64,
    rounds: u64,
    engines: Vec<String>,
    results: Results,
}

impl Comparison {
    fn fill(&mut self) -> Result<()> {
        let grants = records::Grants::make()?;
        println!("a grant: {} bytes fresh, {} refreshed", grants.fresh(0).len(), grants.refreshed(0).len());
        for engine in self.engines.clone() {
            self.phase(&engine, "fill", 0)?;
            let size = disk_mb(&self.place(&engine, "fill"))?;
            self.note("fill size_mb", &engine, size);
        }
        Ok(())
    }

    fn calls(&mut self) -> Result<()> {
        for round in 1..=self.rounds {
            for operation in OPERATIONS {
                for callers in CALLERS {
                    for engine in self.engines.clone() {
                        self.phase(&engine, &format!("{operation}-{callers}"), round)?;
                    }
                }
            }
            for engine in self.engines.clone() {
                self.phase(&engine, "sweep", round)?;
            }
            // Whoever goes first has it easiest or hardest: not always the same one.
            self.engines.rotate_left(1);
        }
        for engine in self.engines.clone() {
            self.phase(&engine, "churn", 0)?;
        }
        Ok(())
    }

    fn opening(&mut self) -> Result<()> {
        for round in 1..=self.rounds {
            for engine in self.engines.clone() {
                self.phase(&engine, "open", round)?;
                self.kill(&engine, round)?;
                let figures = self.child(&engine, "open", round)?;
                let opened = figures["open_ms"].as_f64().context("open_ms")?;
                self.note("open after kill -9, ms", &engine, opened);
            }
            self.engines.rotate_left(1);
        }
        Ok(())
    }

    fn place(&self, engine: &str, phase: &str) -> PathBuf {
        self.folder.join(if phase == "churn" { format!("{engine}-churn") } else { engine.to_owned() })
    }

    fn command(&self, engine: &str, phase: &str, round: u64) -> Result<Command> {
        let place = self.place(engine, phase);
        std::fs::create_dir_all(&place)?;
        let mut command = Command::new(std::env::current_exe()?);
        let records = if phase == "churn" { CHURN } else { self.records };
        command.args(["phase", engine, phase]).arg(place);
        command.args([records.to_string(), round.to_string(), SECONDS.to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        Ok(command)
    }

    fn child(&self, engine: &str, phase: &str, round: u64) -> Result<Value> {
        let output = self.command(engine, phase, round)?.output()?;
        ensure!(output.status.success(), "{engine} {phase} has failed");
        let figures = serde_json::from_slice(&output.stdout)?;
        eprintln!("{engine} {phase}: {figures}");
        Ok(figures)
    }

    fn phase(&mut self, engine: &str, phase: &str, round: u64) -> Result<()> {
        let figures = self.child(engine, phase, round)?;
        for (name, figure) in figures.as_object().context("an object")? {
            match figure {
                Value::Array(row) => {
                    for (index, figure) in row.iter().enumerate() {
                        let figure = figure.as_f64().context("a number")?;
                        self.note(&format!("{phase} {name} {index}"), engine, figure);
                    }
                }
                figure => self.note(&format!("{phase} {name}"), engine, figure.as_f64().context("a number")?),
            }
        }
        Ok(())
    }

    /// Kills a process that writes.
    fn kill(&self, engine: &str, round: u64) -> Result<()> {
        let mut child = self.command(engine, "write", round)?.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        ensure!(line.trim() == "writing", "{engine} does not write");
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn note(&mut self, name: &str, engine: &str, figure: f64) {
        self.results.entry(name.to_owned()).or_default().entry(engine.to_owned()).or_default().push(figure);
    }

    fn print(&mut self) {
        self.engines.sort_by_key(|engine| ENGINES.iter().position(|known| known == engine));
        println!("\n| median of {} | {} |", self.rounds, self.engines.join(" | "));
        println!("|---|{}", "---|".repeat(self.engines.len()));
        for (name, of_engines) in &self.results {
            let cells: Vec<String> = self
                .engines
                .iter()
                .filter_map(|engine| Some((of_engines.get(engine)?, of_engines.get(&self.engines[0])?)))
                .map(|(figures, first)| {
                    // Within a round: what else the machine does then, it does to both.
                    let ratios = figures.iter().zip(first).map(|(figure, first)| figure / first).collect();
                    format!("{} ({:.2})", rounded(median(figures.clone())), median(ratios))
                })
                .collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
}

fn rounded(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What the files of a folder take on the disk.
fn disk_mb(folder: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // A file that an engine has just removed takes nothing.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        #[allow(clippy::cast_precision_loss)]
        let of_file = (std::os::unix::fs::MetadataExt::blocks(&metadata) * 512) as f64 / 1e6;
        sum += if metadata.is_dir() { disk_mb(&path)? } else { of_file };
    }
    Ok(sum)
}
