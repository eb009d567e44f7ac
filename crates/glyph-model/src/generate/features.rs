//! What a part of a prompt takes of its pages.

use burn::tensor::Tensor;

/// Features that a part of a prompt takes, and for each of its positions the row in them. What is copied for a part is
/// no more than its positions, however large its pages are.
///
/// `index` has for each position of the part its row among the features of all pages, `page_starts` the row that each
/// page begins at, and `page_features` gives the features `[tokens, d]` of a page.
pub fn part_features(
    index: &[Option<usize>],
    page_starts: &[usize],
    page_features: impl Fn(usize) -> Option<Tensor<2>>,
) -> (Option<Tensor<2>>, Vec<Option<usize>>) {
    let rows = || index.iter().flatten().copied();
    let (Some(first), Some(last)) = (rows().min(), rows().max()) else {
        return (None, index.to_vec());
    };
    let pages_up_to = |row: usize| page_starts.partition_point(|start| *start <= row);
    let pages = pages_up_to(first).saturating_sub(1)..pages_up_to(last);
    let taken: Vec<Tensor<2>> = pages
        .filter_map(|page| {
            let (features, start) = (page_features(page)?, page_starts[page]);
            let from = first.saturating_sub(start);
            let end = (last + 1 - start).min(features.dims()[0]);
            (from < end).then(|| features.narrow(0, from, end - from))
        })
        .collect();
    let features = (!taken.is_empty()).then(|| Tensor::cat(taken, 0));
    let index = index.iter().map(|row| row.map(|row| row - first)).collect();
    (features, index)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::part_features;

    /// Three pages of 3, 1 and 4 tokens; each feature is its row among all.
    fn page(number: usize) -> Option<Tensor<2>> {
        let rows = [0..3, 3..4, 4..8].into_iter().nth(number)?;
        let values: Vec<f32> = rows.map(|row| row as f32).collect();
        let shape = [values.len(), 1];
        let values = TensorData::new(values, shape);
        Some(Tensor::from_data(values, &Device::flex()))
    }

    #[test]
    fn a_part_takes_its_own_rows_and_no_others() {
        for (index, taken) in [
            (vec![Some(0), Some(1)], vec![0.0, 1.0]),
            (vec![None, Some(2), None, Some(3), None], vec![2.0, 3.0]),
            (vec![Some(3)], vec![3.0]),
            (
                vec![Some(2), None, Some(3), Some(4), Some(5)],
                vec![2.0, 3.0, 4.0, 5.0],
            ),
            (vec![Some(6), Some(7), None], vec![6.0, 7.0]),
        ] {
            let (features, of_part) = part_features(&index, &[0, 3, 4], page);
            let features: Vec<f32> = features.unwrap().into_data().iter().collect();
            assert_eq!(features, taken, "{index:?}");
            for (row, of_part) in index.iter().zip(&of_part) {
                let value = of_part.map(|row| features[row]);
                assert_eq!(value, row.map(|row| row as f32), "{index:?}");
            }
        }
    }

    #[test]
    fn text_takes_none() {
        let (features, index) = part_features(&[None, None], &[0, 3, 4], page);
        assert!(features.is_none());
        assert_eq!(index, [None, None]);
    }
}
