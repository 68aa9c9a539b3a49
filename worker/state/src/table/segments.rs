//! A vector in segments: it grows without moving what it holds, so that a large table neither
//! copies itself nor ever needs twice its memory.

/// Elements of a segment: few enough that a half-empty one is not missed, many enough that the
/// list of segments stays in the cache.
const SEGMENT: usize = 4096;

#[derive(Debug)]
pub(crate) struct Segments<T> {
    /// All full but the last. Only the first one is ever shorter than it may become.
    segments: Vec<Vec<T>>,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
        }
    }
}

impl<T> Segments<T> {
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.segments.get(index / SEGMENT)?.get(index % SEGMENT)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.segments
            .get_mut(index / SEGMENT)?
            .get_mut(index % SEGMENT)
    }

    pub(crate) fn len(&self) -> usize {
        match self.segments.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * SEGMENT + last.len(),
        }
    }

    pub(crate) fn push(&mut self, element: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT => last.push(element),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(element);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![element]),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let elements = match self.segments.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * SEGMENT + last.capacity(),
        };
        elements * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_index_over_many_segments() {
        let mut segments = Segments::default();
        for n in 0..3 * SEGMENT + 5 {
            assert_eq!(segments.len(), n);
            assert_eq!(segments.get(n), None);
            segments.push(n);
            *segments.get_mut(n).unwrap() += 1;
        }
        assert!((0..segments.len()).all(|n| segments.get(n) == Some(&(n + 1))));
        assert!(segments.iter().copied().eq(1..=segments.len()));
    }
}
