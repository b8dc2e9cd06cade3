//! Those who were let in before, and are judged again.

use super::*;

impl Setting {
    async fn present_again(&self, id: &GrantId) -> Result<(), Outcome> {
        let judge = |active: Option<&Active>| active.map(drop).ok_or(Outcome::Refused);
        self.cache.judge_again(id, judge).await
    }

    /// How many pass, and how often the store is read for all of them.
    async fn all_again(&self, ids: &[GrantId]) -> (usize, usize) {
        let (mut passed, before) = (0, self.remote.reads());
        for id in ids {
            match self.present_again(id).await {
                Ok(()) => passed += 1,
                Err(Outcome::Away) => {}
                Err(Outcome::Refused) => panic!("an outage ends nothing"),
            }
        }
        (passed, self.remote.reads() - before)
    }
}

/// The time is tokio's.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_asked_by_one_a_second_also_where_nothing_is_remembered() {
    let usual = VerificationCache::default();
    let (nothing_kept, no_grace) =
        (VerificationCache { entries: 0, ..usual }, VerificationCache { grace: Duration::ZERO, ..usual });
    for settings in [nothing_kept, no_grace] {
        let setting = setting_with(Coherence::Pushed, settings);
        let mut ids = Vec::new();
        for _ in 0..50 {
            ids.push(setting.log_in().await);
        }
        assert_eq!(setting.all_again(&ids).await, (50, 50));
        setting.cache.lost();
        setting.remote.is_away(true);
        for _ in 0..3 {
            assert_eq!(setting.all_again(&ids).await, (0, 1));
            assert_eq!(setting.all_again(&ids).await, (0, 0));
            tokio::time::advance(2 * SECOND).await;
        }
        setting.all_again(&ids).await;
        setting.remote.is_away(false);
        assert_eq!(setting.all_again(&ids).await, (0, 0), "nobody has heard of it");
        tokio::time::advance(2 * SECOND).await;
        assert_eq!(setting.all_again(&ids).await, (50, 50));
    }
}

#[tokio::test]
async fn what_is_remembered_passes_again_in_an_outage() {
    let setting = setting(Coherence::Pushed);
    let id = setting.log_in().await;
    setting.present_again(&id).await.unwrap();
    outage(&setting);
    setting.present_again(&id).await.unwrap();
    setting.clock.advance(Duration::from_secs(60));
    assert!(matches!(setting.present_again(&id).await, Err(Outcome::Away)));
}
