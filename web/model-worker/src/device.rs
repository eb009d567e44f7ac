//! Where the model runs: WebGPU where it works, else burn's CPU backend on SIMD.

use burn::tensor::{Device, Tensor};
use glyph_model::generate::read_values;
use glyph_web_core::messages::DeviceChoice;
use glyph_web_core::stage::TabDevice;
use glyph_web_core::webgpu::WebGpuFailure;
use glyph_worker::{js_message, scope};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::ModelFailure;

/// What burn asks for when it opens its default device. The same is asked for here, so that the adapter that
/// is named is the one that computes.
const POWER_PREFERENCE: &str = "high-performance";

/// An open device.
#[derive(Debug)]
pub struct OpenDevice {
    pub device: Device,
    /// The adapter's name, on WebGPU.
    pub adapter: Option<String>,
    /// Why WebGPU is not used although it was wanted.
    pub fallback_reason: Option<WebGpuFailure>,
}

impl OpenDevice {
    fn cpu(fallback_reason: Option<WebGpuFailure>) -> Self {
        Self {
            device: Device::flex(),
            adapter: None,
            fallback_reason,
        }
    }

    /// What kind of device it is.
    pub fn kind(&self) -> TabDevice {
        match self.adapter {
            Some(_) => TabDevice::Webgpu,
            None => TabDevice::Cpu,
        }
    }
}

/// Opens what was chosen.
pub async fn open(choice: DeviceChoice) -> Result<OpenDevice, ModelFailure> {
    if choice == DeviceChoice::Cpu {
        return Ok(OpenDevice::cpu(None));
    }
    match webgpu().await {
        Ok(device) => Ok(device),
        Err(reason) if choice == DeviceChoice::Auto => Ok(OpenDevice::cpu(Some(reason))),
        Err(reason) => Err(ModelFailure::NoWebgpu { reason }),
    }
}

async fn webgpu() -> Result<OpenDevice, WebGpuFailure> {
    let adapter = adapter().await?;
    let device = Device::wgpu_options().init_async().await;
    let device = device.map_err(|error| WebGpuFailure::Other(error.to_string()))?;
    check(&device).await?;
    Ok(OpenDevice {
        device,
        adapter: Some(adapter),
        fallback_reason: None,
    })
}

/// Asks for an adapter first: what comes later fails with fewer words.
async fn adapter() -> Result<String, WebGpuFailure> {
    let get = |object: &JsValue, key: &str| Reflect::get(object, &key.into());
    let other = |error: JsValue| WebGpuFailure::Other(js_message(&error));
    let gpu = get(&scope(), "navigator").and_then(|navigator| get(&navigator, "gpu"));
    let gpu = gpu.map_err(other)?;
    if gpu.is_falsy() {
        return Err(WebGpuFailure::Missing);
    }
    let request = get(&gpu, "requestAdapter").and_then(|request| {
        let request: Function = request.dyn_into()?;
        let options = Object::new();
        Reflect::set(
            &options,
            &"powerPreference".into(),
            &POWER_PREFERENCE.into(),
        )?;
        request.call1(&gpu, &options)?.dyn_into::<Promise>()
    });
    let request = request.map_err(other)?;
    let adapter = JsFuture::from(request).await;
    let adapter = adapter.map_err(other)?;
    if adapter.is_falsy() {
        return Err(WebGpuFailure::NoAdapter);
    }
    let info = get(&adapter, "info").unwrap_or(JsValue::UNDEFINED);
    let words = ["description", "vendor", "architecture", "device"]
        .map(|key| get(&info, key).ok().and_then(|word| word.as_string()))
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.collect();
    words.dedup();
    let name = words.join(" ");
    Ok(if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    })
}

/// Some drivers compute wrong numbers and say nothing.
async fn check(device: &Device) -> Result<(), WebGpuFailure> {
    const SIDE: usize = 8;
    let ones = Tensor::<2>::ones([SIDE, SIDE], device);
    let product = ones.clone().matmul(ones * 2.0);
    let values = read_values(product).await;
    let values = values.map_err(|error| WebGpuFailure::Other(error.to_string()))?;
    let right = (SIDE * 2) as f32;
    // Not a number is no right one either.
    let is_right = |value: &f32| (value - right).abs() < 1e-3;
    match values.into_iter().find(|value| !is_right(value)) {
        None => Ok(()),
        Some(computed) => Err(WebGpuFailure::WrongNumbers { computed, right }),
    }
}
