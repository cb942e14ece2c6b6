//! Which GGUF files of a repository `llama-server -hf` loads: as it chooses itself (llama.cpp, `common/download.cpp` at 0216dab).

use super::ModelRefusal;
use super::repository_file::RepositoryFile;

/// Types that are looked for where none is asked for, in this order; else it is the first file.
const PREFERRED: [&str; 2] = ["Q4_K_M", "Q8_0"];
/// How the files end.
const GGUF: &str = ".gguf";
/// In the names of files that belong to a model, and are none.
const COMPANIONS: [&str; 6] = ["mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"];
/// In the name of the file that lets a model see.
const PROJECTOR: &str = "mmproj";
/// Options by which a person says what becomes of the projector.
const ABOUT_PROJECTOR: [&str; 6] = [
    "-mm",
    "--mmproj",
    "-mmu",
    "--mmproj-url",
    "--no-mmproj",
    "--no-mmproj-auto",
];

/// What the arguments say of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The file's path.
    pub file: Option<String>,
    /// The file's type, such as `Q4_K_M`.
    pub tag: Option<String>,
    /// Whether a projector is loaded where there is one.
    pub with_projector: bool,
}

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The model's file, or the first of them: the others are found beside it, by their names.
    pub model: String,
    /// All of the model's.
    pub parts: Vec<RepositoryFile>,
    /// The projector.
    pub projector: Option<RepositoryFile>,
}

impl Choice {
    /// Reads the arguments of a launch. Of options that are given twice, the last counts.
    #[must_use]
    pub fn of(args: &[String]) -> Self {
        let value = |names: &[&str]| {
            let at = args.iter().rposition(|arg| names.contains(&arg.as_str()))?;
            args.get(at + 1)
        };
        let repository = value(&["-hf", "-hfr", "--hf-repo"]);
        let tag = repository.and_then(|repository| repository.split_once(':'));
        Self {
            file: value(&["-hff", "--hf-file"]).cloned(),
            tag: tag.map(|(_, tag)| tag.to_owned()),
            with_projector: !args.iter().any(|arg| ABOUT_PROJECTOR.contains(&arg.as_str())),
        }
    }

    /// Chooses among the files of a repository.
    ///
    /// # Errors
    /// [`ModelRefusal`] when what is asked for is not there.
    pub fn among(&self, model: &str, files: &[RepositoryFile]) -> Result<Chosen, ModelRefusal> {
        let paths: Vec<&str> = files.iter().map(RepositoryFile::path).collect();
        let chosen = self.path_among(model, &paths)?;
        Ok(Chosen {
            model: chosen.to_owned(),
            parts: parts(files, chosen),
            projector: projector(files, chosen).filter(|_| self.with_projector).cloned(),
        })
    }

    /// Chooses among the paths of a repository's files: the model's file, or the first of them.
    ///
    /// # Errors
    /// [`ModelRefusal`] when what is asked for is not there.
    pub fn path_among<'a>(&self, model: &str, paths: &[&'a str]) -> Result<&'a str, ModelRefusal> {
        let models: Vec<&str> = paths.iter().copied().filter(|path| is_model(path)).collect();
        let chosen = match (&self.file, &self.tag) {
            (Some(file), _) => paths.iter().copied().find(|path| path.eq_ignore_ascii_case(file)),
            (None, Some(tag)) => first_of_type(&models, tag),
            (None, None) => {
                let mut preferred = PREFERRED.iter().filter_map(|tag| first_of_type(&models, tag));
                preferred
                    .next()
                    .or_else(|| models.iter().copied().find(|path| begins(path)))
            }
        };
        chosen.ok_or_else(|| self.refusal(model, &models))
    }

    fn refusal(&self, model: &str, models: &[&str]) -> ModelRefusal {
        let model = model.to_owned();
        let first_parts = models.iter().filter(|path| begins(path));
        let there: Vec<_> = first_parts.map(|path| (*path).to_owned()).collect();
        match self.file.as_ref().or(self.tag.as_ref()) {
            Some(wanted) if !there.is_empty() => ModelRefusal::NoSuchGguf {
                model,
                wanted: wanted.clone(),
                there,
            },
            _ => ModelRefusal::NoGguf { model },
        }
    }
}

fn is_gguf(path: &str) -> bool {
    path.ends_with(GGUF)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_model(path: &str) -> bool {
    is_gguf(path) && !COMPANIONS.iter().any(|companion| name(path).contains(companion))
}

/// The first file with this type in its path, as a word that ends there.
fn first_of_type<'a>(models: &[&'a str], tag: &str) -> Option<&'a str> {
    let tag = tag.to_ascii_uppercase();
    let has_tag = |path: &str| {
        let path = path.to_ascii_uppercase();
        [".", "-"].iter().any(|end| path.contains(&format!("{tag}{end}")))
    };
    let mut found = models.iter().copied().filter(|path| begins(path));
    found.find(|path| has_tag(path))
}

/// What stands before `-00001-of-00003.gguf`, and which of how many parts it is.
fn part(path: &str) -> Option<(&str, u32, u32)> {
    let (rest, count) = path.strip_suffix(GGUF)?.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    Some((prefix, number.parse().ok()?, count.parse().ok()?))
}

/// Whether a file is whole, or the first of its parts.
fn begins(path: &str) -> bool {
    part(path).is_none_or(|(_, number, _)| number == 1)
}

/// All parts of the model that a file is of.
fn parts(files: &[RepositoryFile], chosen: &str) -> Vec<RepositoryFile> {
    let Some((prefix, _, count)) = part(chosen) else {
        return files.iter().filter(|file| file.path() == chosen).cloned().collect();
    };
    let is_part = |file: &&RepositoryFile| part(file.path()).is_some_and(|(of, _, all)| of == prefix && all == count);
    files.iter().filter(is_part).cloned().collect()
}

/// The projector beside the model or in a folder above it: the nearest, and of several the one whose weights have most nearly as many
/// bits.
fn projector<'a>(files: &'a [RepositoryFile], model: &str) -> Option<&'a RepositoryFile> {
    let is_above = |path: &str| {
        let above = folder(path);
        above.is_empty() || folder(model) == above || folder(model).starts_with(&format!("{above}/"))
    };
    let is_projector = |file: &&RepositoryFile| {
        let path = file.path();
        is_gguf(path) && path.contains(PROJECTOR) && is_above(path)
    };
    let distance = |file: &&RepositoryFile| {
        let depth = folder(file.path()).len();
        (std::cmp::Reverse(depth), bits(file.path()).abs_diff(bits(model)))
    };
    files.iter().filter(is_projector).min_by_key(distance)
}

/// How many bits a weight has, by the type at the end of a file's name; 0 when that says none.
fn bits(path: &str) -> u32 {
    let stem = match part(path) {
        Some((prefix, _, _)) => prefix,
        None => path.strip_suffix(GGUF).unwrap_or(path),
    };
    let kind = stem.rsplit(['-', '.', '/']).next().unwrap_or_default();
    let digits = kind.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
