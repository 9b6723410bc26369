//! Many short lists in two allocations. Compiling 100,000 rules makes millions of them: what lies in one piece takes a fraction of
//! the memory, and most of its time goes by waiting for memory.

use super::intern::number;

/// Each of these once, ascending.
pub(super) fn ascending(mut list: Vec<u32>) -> Vec<u32> {
    list.sort_unstable();
    list.dedup();
    list
}

/// Lists by number, one behind the other.
#[derive(Debug)]
pub(super) struct Lists<T> {
    items: Vec<T>,
    /// Where each list ends; it begins where the one before it does.
    ends: Vec<u32>,
}

impl<T> Default for Lists<T> {
    fn default() -> Lists<T> {
        Lists { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Lists<T> {
    /// Adds a list and gives its number.
    pub(super) fn push(&mut self, list: impl IntoIterator<Item = T>) -> u32 {
        self.items.extend(list);
        self.ends.push(number(self.items.len()));
        number(self.ends.len() - 1)
    }

    /// The list of a number that [`Lists::push`] gave.
    pub(super) fn get(&self, list: u32) -> &[T] {
        let list = list as usize;
        let start = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[list] as usize]
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What is in all of them, in order.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// Every list in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[T]> + Clone {
        (0..number(self.len())).map(|list| self.get(list))
    }
}

impl<T: Copy + Default> Lists<T> {
    /// So many lists, from pairs of (list, item); the items of a list stay in the order of the pairs.
    pub(super) fn grouped(count: usize, pairs: impl Iterator<Item = (u32, T)> + Clone) -> Lists<T> {
        // Each `ends` is where the next item of its list goes, until it is where they end.
        let mut ends = vec![0u32; count + 1];
        pairs.clone().for_each(|(list, _)| ends[list as usize + 1] += 1);
        for list in 1..=count {
            ends[list] += ends[list - 1];
        }
        let mut items = vec![T::default(); ends[count] as usize];
        for (list, item) in pairs {
            let next = &mut ends[list as usize];
            items[*next as usize] = item;
            *next += 1;
        }
        ends.pop();
        Lists { items, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_again() {
        let mut lists = Lists::default();
        assert_eq!((lists.push([7, 8]), lists.push([]), lists.push([9])), (0, 1, 2));
        assert_eq!((lists.get(0), lists.get(1), lists.get(2)), (&[7, 8][..], &[][..], &[9][..]));
        assert_eq!((lists.len(), lists.items()), (3, &[7, 8, 9][..]));
    }

    #[test]
    fn grouping_keeps_the_order_of_the_pairs() {
        let lists = Lists::grouped(4, [(2, 'c'), (0, 'b'), (2, 'a')].into_iter());
        assert_eq!(lists.iter().collect::<Vec<_>>(), [&['b'][..], &[], &['c', 'a'], &[]]);
        assert_eq!(Lists::<u32>::grouped(0, std::iter::empty()).len(), 0);
    }
}
