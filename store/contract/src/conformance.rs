//! What every engine must do, as a suite that an engine's tests run: `run(make).await`.
//!
//! Each check gets a store of its own. It panics with what was expected and found.

mod damaged;
mod drafts;
pub mod plant;
mod points;
mod reading;

use std::sync::Arc;

use async_trait::async_trait;

use crate::readings::Readings;
use crate::store::Store;

/// An engine under test: one place where a store is.
#[async_trait]
pub trait Engine: Send {
    /// Opens the store for writing, making it when there is none. The one opened before was dropped, as it is when its
    /// process ends.
    async fn open(&mut self) -> Box<dyn Store>;
    /// Its newest version, for reading, also while it is open for writing.
    async fn readings(&mut self) -> Arc<dyn Readings>;
    /// Makes a part that holds rows unreadable while the store is closed, in a way that it notices when it is opened
    /// again; `false` where an engine has no parts.
    async fn harm(&mut self) -> bool {
        false
    }
}

/// Makes engines, each with an empty store.
pub type Make<'a> = &'a mut (dyn FnMut() -> Box<dyn Engine> + Send);

macro_rules! checks {
    ($make:ident: $($module:ident::$name:ident,)*) => {
        $(
            $module::$name($make().as_mut()).await;
        )*
    };
}

/// Runs all checks.
pub async fn run(make: Make<'_>) {
    checks!(make:
        drafts::an_empty_store_is_at_commit_0,
        drafts::what_was_committed_is_read_and_the_watermark_moved,
        drafts::a_replay_changes_nothing,
        drafts::a_draft_that_overlaps_adds_its_new_frames_alone,
        drafts::frames_out_of_order_are_refused_whole,
        drafts::a_frame_above_its_watermark_is_refused,
        drafts::a_sample_that_its_dictionary_does_not_allow_is_refused,
        drafts::a_watermark_never_goes_back,
        drafts::a_draft_that_does_not_join_is_refused,
        drafts::losses_are_kept_as_totals,
        drafts::two_logs_have_two_generations,
        drafts::a_store_opened_again_goes_on,
        drafts::a_commit_that_was_dropped_is_whole_or_not_there,
        drafts::dictionaries_are_kept_and_their_uses_noted,
        drafts::dictionaries_side_by_side_are_noted_once,
        damaged::a_sound_store_has_no_damage,
        damaged::rows_that_cannot_be_read_are_counted_and_their_frames_named,
        reading::columns_are_those_of_the_contract,
        reading::values_of_each_type_come_back_exactly,
        reading::qualities_come_back_as_words_and_codes,
        reading::both_ends_of_time_are_stored,
        reading::a_correction_is_chosen_and_both_rows_stay,
        reading::late_and_shuffled_rows_come_in_order,
        reading::as_of_a_commit_nothing_later_is_seen,
        reading::a_snapshot_stays_what_it_is,
        reading::what_is_handed_down_equals_what_is_filtered_after,
        reading::the_last_rows_are_the_last_of_all_rows,
        reading::many_points_and_commits_come_sorted_once_each,
        reading::a_cancelled_stream_ends,
        points::first_and_last_readings_are_those_of_all_rows,
        points::points_are_described_by_the_newest_dictionary_of_their_device,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    struct Memory(MemoryStore);

    #[async_trait]
    impl Engine for Memory {
        async fn open(&mut self) -> Box<dyn Store> {
            Box::new(self.0.clone())
        }

        async fn readings(&mut self) -> Arc<dyn Readings> {
            self.0.readings()
        }
    }

    #[tokio::test]
    async fn the_store_in_memory_conforms() {
        run(&mut || Box::new(Memory(MemoryStore::default()))).await;
    }
}
