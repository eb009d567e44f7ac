//! The files of the web page.

use std::fs;

use crate::client::{Server, Setup, is_error};

#[tokio::test(flavor = "multi_thread")]
async fn files_come_with_their_types_caching_and_compression() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let script = "export const pages = [];\n".repeat(100);
    for (name, content) in [
        (
            "index.html",
            "<!doctype html><title>Glyph</title>".repeat(10),
        ),
        ("app-3f2a91bc.js", script.clone()),
        ("glyph-3f2a91bc_bg.wasm", "\0asm".repeat(100)),
        ("worker.js", script.clone()),
        ("model.safetensors", "weights".repeat(100)),
    ] {
        fs::write(site.join(name), content).unwrap();
    }
    let mut setup = Setup::new();
    setup.config.web_directory = Some(site);
    let server = setup.start().await;
    const FOREVER: &str = "public, max-age=31536000, immutable";
    for (path, kind, caching) in [
        ("/", "text/html", "no-cache"),
        ("/index.html", "text/html", "no-cache"),
        ("/worker.js", "text/javascript", "no-cache"),
        ("/app-3f2a91bc.js", "text/javascript", FOREVER),
        ("/glyph-3f2a91bc_bg.wasm", "application/wasm", FOREVER),
    ] {
        let response = server.get(path).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-type").starts_with(kind),
            "{path}: {response:?}"
        );
        assert_eq!(header("cache-control"), caching, "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-embedder-policy"), "require-corp");
        assert_eq!(header("x-content-type-options"), "nosniff");
        // The page asks with HEAD who serves it.
        let request = server.http.head(server.url(path));
        let head = request.send().await.unwrap();
        for headers in [response.headers(), head.headers()] {
            assert_eq!(
                headers["x-glyph-runtime"],
                env!("CARGO_PKG_VERSION"),
                "{path}"
            );
            assert!(headers.contains_key("last-modified"), "{path}");
        }
    }
    let request = server.http.get(server.url("/model.safetensors"));
    let weights = request.header("accept-encoding", "gzip").send().await;
    let weights = weights.unwrap();
    assert!(!weights.headers().contains_key("content-encoding"));
    assert_eq!(weights.headers()["content-length"], "700");
    for encoding in ["br", "gzip"] {
        let request = server.http.get(server.url("/app-3f2a91bc.js"));
        let response = request
            .header("accept-encoding", encoding)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert!(response.bytes().await.unwrap().len() < script.len() / 4);
    }
    for path in [
        "/none.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/v1/x",
    ] {
        let response = server.get(path).await;
        let status = response.status();
        is_error(
            status,
            &response.json().await.unwrap(),
            (404, "not_found", None),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_405_where_something_is_and_404_elsewhere() {
    let site = tempfile::tempdir().unwrap();
    for name in ["index.html", "worker.js"] {
        fs::write(site.path().join(name), "content").unwrap();
    }
    let mut with_files = Setup::new();
    with_files.config.web_directory = Some(site.path().to_owned());
    for (setup, paths) in [
        (with_files, &["/", "/index.html", "/worker.js"][..]),
        (Setup::new(), &["/"]),
    ] {
        let server = setup.start().await;
        for path in paths {
            let request = server.http.post(server.url(path)).body("some");
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["allow"], "GET,HEAD", "{path}");
            let status = response.status();
            is_error(
                status,
                &response.json().await.unwrap(),
                (405, "method_not_allowed", None),
            );
        }
        let response = server.http.post(server.url("/none.js")).send().await;
        let response = response.unwrap();
        let status = response.status();
        is_error(
            status,
            &response.json().await.unwrap(),
            (404, "not_found", None),
        );
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_folder_and_hidden_files_are_not_served() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (site, outside) = (folder.path().join("site"), folder.path().join("outside"));
    fs::create_dir_all(site.join(".git")).unwrap();
    fs::create_dir_all(site.join("assets")).unwrap();
    fs::create_dir(&outside).unwrap();
    for file in [
        site.join("index.html"),
        site.join("app.js"),
        site.join(".env"),
        site.join(".git/config"),
        site.join("assets/real.txt"),
        outside.join("index.html"),
        outside.join("secret.txt"),
    ] {
        fs::write(file, "content").unwrap();
    }
    symlink(outside.join("secret.txt"), site.join("link.txt")).unwrap();
    symlink(&outside, site.join("folder")).unwrap();
    symlink(outside.join("secret.txt"), site.join("app.js.gz")).unwrap();
    symlink(outside.join("none"), site.join("broken")).unwrap();
    symlink(site.join("assets/real.txt"), site.join("inside.txt")).unwrap();
    let mut setup = Setup::new();
    setup.config.web_directory = Some(site);
    let server = setup.start().await;
    for path in [
        "/link.txt",
        "/folder/secret.txt",
        "/folder/",
        "/folder",
        "/app.js",
        "/broken",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/%2Egit/config",
        "/assets/..%2f.env",
        "/assets/%2e%2e/.env",
        "/assets%2f..%2f..%2foutside%2fsecret.txt",
        "/%00",
        "/%ff",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
    ] {
        let request = server.http.get(server.url(path));
        let response = request.header("accept-encoding", "gzip").send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        let body = response.text().await.unwrap();
        assert!(!body.contains("\"content\""), "{path}: {body}");
    }
    for path in ["/", "/inside.txt", "/assets/real.txt"] {
        assert_eq!(server.get(path).await.text().await.unwrap(), "content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_files_a_few_lines_say_where_the_api_is() {
    let server = Server::start().await;
    let page = server.get("/").await.text().await.unwrap();
    assert!(page.contains("/docs/") && page.contains("/v1"), "{page}");
}
