//! The player page: a folder of built files, read once at the start and served from memory.

use std::{collections::HashMap, io, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use service::http::{CacheControl, Content, Response, content_type, etag_of, gzip};

/// A page with its libraries has about 4 MiB; a folder beyond this is the wrong one.
const BYTES_MAX: u64 = 64 << 20;
const FILES_MAX: usize = 2_000;
const DEPTH_MAX: usize = 8;

/// Served at `/` when there is no page, so that a browser sees that the edge works.
const NO_PAGE: &str = "<!doctype html><meta charset=utf-8><title>Panocast</title>\
    <p>This edge serves streams under <code>/hls/</code>; it has no player page. \
    Set <code>edge.player</code> to the folder of the built page.\n";

/// The files by path.
#[derive(Debug, Clone)]
pub struct Page {
    files: HashMap<String, Content>,
}

impl Page {
    /// Reads `folder`; without one there is a page that says so.
    pub fn load(folder: Option<&Path>, served_by: &HeaderValue) -> io::Result<Self> {
        let mut page = Self {
            files: HashMap::new(),
        };
        match folder {
            Some(folder) => {
                let mut left = BYTES_MAX;
                page.read(folder, "", DEPTH_MAX, &mut left, served_by)?;
            }
            None => page.add("/index.html", NO_PAGE.into(), served_by),
        }
        Ok(page)
    }

    fn read(
        &mut self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        left: &mut u64,
        served_by: &HeaderValue,
    ) -> io::Result<()> {
        for file in std::fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let path = format!("{prefix}/{name}");
            let facts = std::fs::metadata(file.path())?;
            if facts.is_dir() {
                let depth = depth.checked_sub(1).ok_or_else(|| too_much("deep"))?;
                self.read(&file.path(), &path, depth, left, served_by)?;
                continue;
            }
            *left = left
                .checked_sub(facts.len())
                .ok_or_else(|| too_much("large"))?;
            if self.files.len() >= FILES_MAX {
                return Err(too_much("full"));
            }
            self.add(&path, std::fs::read(file.path())?.into(), served_by);
        }
        Ok(())
    }

    fn add(&mut self, path: &str, bytes: Bytes, served_by: &HeaderValue) {
        let kind = content_type(path);
        let is_text = kind.contains("text") || kind.contains("json") || kind.contains("svg");
        // The build puts hashes into the names below assets; the page that names them must stay
        // young.
        let lifetime = match path.starts_with("/assets/") {
            true => CacheControl::immutable(),
            false => CacheControl::max_age(60),
        };
        let content = Content::new([bytes.clone()], kind)
            .with_etag(&etag_of(&bytes))
            .with_gzip(if is_text { gzip(&bytes) } else { None })
            .with_header(header::CACHE_CONTROL, lifetime.to_header())
            .with_header(
                header::HeaderName::from_static("x-served-by"),
                served_by.clone(),
            );
        self.files.insert(path.to_owned(), content);
    }

    /// The answer for `path`, none when there is no such file.
    pub fn respond(&self, path: &str, method: &Method, request: &HeaderMap) -> Option<Response> {
        let content = match path.ends_with('/') {
            true => self.files.get(&format!("{path}index.html")),
            false => self.files.get(path),
        }?;
        Some(content.respond(method, request))
    }
}

fn too_much(what: &str) -> io::Error {
    io::Error::other(format!(
        "the folder is too {what} for a player page (at most {FILES_MAX} files, {BYTES_MAX} bytes)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served_by() -> HeaderValue {
        HeaderValue::from_static("e")
    }

    #[test]
    fn files_are_found_by_path_and_folders_by_their_index() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        std::fs::write(folder.path().join("index.html"), "<p>page").unwrap();
        std::fs::write(folder.path().join("assets/a-4f.js"), "1").unwrap();
        std::fs::write(folder.path().join(".secret"), "x").unwrap();
        let page = Page::load(Some(folder.path()), &served_by()).unwrap();
        let get = |path: &str| page.respond(path, &Method::GET, &HeaderMap::new());
        assert_eq!(
            get("/").unwrap().headers()[header::CACHE_CONTROL],
            "public, max-age=60"
        );
        let script = get("/assets/a-4f.js").unwrap();
        assert_eq!(
            script.headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert!(get("/.secret").is_none() && get("/assets/").is_none());
    }

    #[test]
    fn without_a_folder_the_page_says_so() {
        let page = Page::load(None, &served_by()).unwrap();
        assert!(page.respond("/", &Method::GET, &HeaderMap::new()).is_some());
        assert!(Page::load(Some(Path::new("/nonexistent")), &served_by()).is_err());
    }
}
