//! The newest N of something, cheap to clone.

use std::{collections::VecDeque, sync::Arc};

/// Items of one segment. A whole segment is forgotten at once, so up to this many more than asked for are kept.
const SEGMENT: usize = 32;

/// The newest `KEPT` items, in segments that clones share. What is kept depends on what was pushed and on nothing else,
/// also when the window was rebuilt from its items on the way.
#[derive(Debug, Clone)]
pub(crate) struct Window<T, const KEPT: usize> {
    full: VecDeque<Arc<Vec<T>>>,
    tail: Arc<Vec<T>>,
}

impl<T, const KEPT: usize> Default for Window<T, KEPT> {
    fn default() -> Self {
        Self { full: VecDeque::new(), tail: Arc::new(Vec::new()) }
    }
}

impl<T: Clone, const KEPT: usize> Window<T, KEPT> {
    /// Adds the newest item.
    pub(crate) fn push(&mut self, item: T) {
        let tail = Arc::make_mut(&mut self.tail);
        tail.push(item);
        if tail.len() < SEGMENT {
            return;
        }
        self.full.push_back(std::mem::take(&mut self.tail));
        if self.full.len() > KEPT.div_ceil(SEGMENT) {
            self.full.pop_front();
        }
    }

    /// The items, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.full.iter().flat_map(|segment| segment.iter()).chain(self.tail.iter())
    }
}

impl<T: Clone, const KEPT: usize> FromIterator<T> for Window<T, KEPT> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut window = Self::default();
        items.into_iter().for_each(|item| window.push(item));
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // G5: a node that was rebuilt from a snapshot forgets exactly what the others forget.
        #[test]
        fn rebuilding_changes_nothing(before in 0usize..400, after in 0usize..400) {
            let mut original = (0..before).collect::<Window<usize, 100>>();
            let mut rebuilt = original.iter().copied().collect::<Window<usize, 100>>();
            for item in before..before + after {
                original.push(item);
                rebuilt.push(item);
            }
            prop_assert_eq!(original.iter().collect::<Vec<_>>(), rebuilt.iter().collect::<Vec<_>>());
            prop_assert!(original.iter().count() >= 100.min(before + after));
            prop_assert!(original.iter().count() <= 100 + 2 * SEGMENT);
        }
    }
}
