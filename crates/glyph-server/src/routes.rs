//! The one table of routes: it feeds the router, the OpenAPI document and the pages that show it.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::{ApiError, ApiErrors, error_schemas};
use crate::state::AppState;
use crate::{
    auth, chat, completions, health, models, no_route, pages, request_id, request_log, tokenize,
    unread, web,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Glyph Runtime",
        description = "Reads long text as page images with a vision-language model; the API is OpenAI's, with documents"
    ),
    components(schemas(chat::ChatCompletionChunk))
)]
struct Document;

/// Routes that ask for a key, where the server has keys.
fn keyed() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(chat::create))
        .routes(routes!(completions::create))
        .routes(routes!(tokenize::count))
        .routes(routes!(pages::draw))
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(models::get_owned))
        .routes(routes!(health::metrics))
}

/// Routes that are open to everybody.
fn open() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(openapi))
}

/// Describes this API.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operation",
    responses((status = 200, description = "The OpenAPI document", body = Object), ApiErrors),
)]
async fn openapi(
    Extension(document): Extension<Arc<utoipa::openapi::OpenApi>>,
) -> Json<Arc<utoipa::openapi::OpenApi>> {
    Json(document)
}

/// The whole application.
pub fn app(state: &AppState) -> Router {
    let with_key = middleware::from_fn_with_state(state.clone(), auth::require_key);
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(keyed().route_layer(with_key))
        .merge(open())
        .split_for_parts();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(error_schemas());
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("api_key", SecurityScheme::Http(key));
    let app = router
        .merge(docs())
        .method_not_allowed_fallback(wrong_method)
        .fallback(web::serve)
        .layer(Extension(Arc::new(document)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            request_log::log_requests,
        ))
        .layer(middleware::from_fn(request_id::set_request_id))
        .with_state(state.clone());
    let app = match state.config().cors_origins.as_slice() {
        [] => app,
        origins => app.layer(cors(origins)),
    };
    // Around all that may answer without reading.
    app.layer(middleware::map_request(unread::read_away))
}

/// The pages that show the API. A file that they do not have is an error like all others.
fn docs() -> Router<AppState> {
    let pages = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::from(pages).route_layer(middleware::map_response(no_page))
}

async fn no_page(uri: Uri, response: Response) -> Response {
    match response.status() {
        StatusCode::NOT_FOUND => no_route::not_found(uri.path()).into_response(),
        _ => response,
    }
}

async fn wrong_method(State(_): State<AppState>, request: Request) -> ApiError {
    no_route::wrong_method(request.method(), request.uri().path())
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(&text.unwrap_or("a handler panicked")).into_response()
}

/// Which pages in browsers may call.
fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        // Clients send headers of their own, such as x-stainless-lang; none of them gives a right.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([request_id::HEADER, header::RETRY_AFTER]);
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(Any);
    }
    let origins = origins.iter();
    layer.allow_origin(
        origins
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
            .collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::panicked;

    #[tokio::test]
    async fn a_panic_is_500_and_its_words_are_not_sent() {
        let broken = async || -> &'static str { panic!("the secret of {}", 42) };
        let app = Router::new()
            .route("/", get(broken))
            .layer(CatchPanicLayer::custom(panicked));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains("internal_error") && !body.contains("secret"),
            "{body}"
        );
    }
}
