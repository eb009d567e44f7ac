//! What the memory of the model's worker holds.

use crate::stage::TabDevice;

/// Most bytes of a model. The memory of a wasm program ends at 4 GiB, and what computes takes some of it.
const MOST_MODEL_BYTES: u64 = 3_800_000_000;

/// Bytes that a model takes in its worker, where that is more than there is room for: its files, which lie
/// there while the weights are loaded, and on the CPU the weights themselves.
pub fn excess_bytes(file_bytes: u64, weight_bytes: u64, device: TabDevice) -> Option<u64> {
    let weight_bytes = match device {
        TabDevice::Cpu => weight_bytes,
        TabDevice::Webgpu => 0,
    };
    let bytes = file_bytes.saturating_add(weight_bytes);
    (bytes > MOST_MODEL_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::excess_bytes;
    use crate::stage::TabDevice;

    #[test]
    fn weights_count_where_they_lie_beside_their_files() {
        let (file_bytes, weight_bytes) = (1_400_000_000, 2_800_000_000);
        assert_eq!(
            excess_bytes(file_bytes, weight_bytes, TabDevice::Cpu),
            Some(4_200_000_000)
        );
        assert_eq!(
            excess_bytes(file_bytes, weight_bytes, TabDevice::Webgpu),
            None
        );
        assert_eq!(
            excess_bytes(file_bytes / 2, weight_bytes / 2, TabDevice::Cpu),
            None
        );
        let larger = 4_000_000_000;
        assert_eq!(excess_bytes(larger, 0, TabDevice::Webgpu), Some(larger));
    }
}
