//! What the protocol knows of parameters by name: which are numbers, which belong to an item.

use super::super::key::Key;

/// A parameter with its name.
type Known = (Param, &'static str, Key);

macro_rules! params {
    ($($param:ident = $name:literal;)*) => {
        /// A parameter that the protocol knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::body) enum Param { $($param,)* }

        /// Them with their names, by the names' length.
        const ALL: &[Known] = &[$((Param::$param, $name, Key::of($name)),)*];
    };
}

params! {
    Index = "index";
    Items = "items";
    Price = "price";
    Score = "score";
    Value = "value";
    Coupon = "coupon";
    ItemId = "item_id";
    Currency = "currency";
    Discount = "discount";
    Quantity = "quantity";
    ItemName = "item_name";
    ItemBrand = "item_brand";
    PageTitle = "page_title";
    SessionId = "session_id";
    Affiliation = "affiliation";
    LocationId = "location_id";
    SearchTerm = "search_term";
    ItemListId = "item_list_id";
    ItemVariant = "item_variant";
    PromotionId = "promotion_id";
    CreativeName = "creative_name";
    CreativeSlot = "creative_slot";
    ItemCategory = "item_category";
    PageLocation = "page_location";
    PageReferrer = "page_referrer";
    AchievementId = "achievement_id";
    ItemCategory2 = "item_category2";
    ItemCategory3 = "item_category3";
    ItemCategory4 = "item_category4";
    ItemCategory5 = "item_category5";
    ItemListName = "item_list_name";
    PromotionName = "promotion_name";
    SessionNumber = "session_number";
    TransactionId = "transaction_id";
    TimestampMicros = "timestamp_micros";
    EngagementTimeMsec = "engagement_time_msec";
    VirtualCurrencyName = "virtual_currency_name";
}

/// Parameters that are numbers (G-REF, G-EV; a recorded answer refuses a price of `$19`). As in proto3
/// JSON, text that is a number is one. The rest of G-EV's numbers is not in our sources.
pub(in crate::body) const NUMBERS: Set =
    Set::of(&[Param::Value, Param::Price, Param::EngagementTimeMsec]);

/// The parameters of an item that are not custom (G-EV).
pub(in crate::body) const OF_ITEMS: Set = Set::of(&[
    Param::ItemId,
    Param::ItemName,
    Param::Affiliation,
    Param::Coupon,
    Param::CreativeName,
    Param::CreativeSlot,
    Param::Discount,
    Param::Index,
    Param::ItemBrand,
    Param::ItemCategory,
    Param::ItemCategory2,
    Param::ItemCategory3,
    Param::ItemCategory4,
    Param::ItemCategory5,
    Param::ItemListId,
    Param::ItemListName,
    Param::ItemVariant,
    Param::LocationId,
    Param::Price,
    Param::PromotionId,
    Param::PromotionName,
    Param::Quantity,
]);

/// A set of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::body) struct Set(u64);

impl Set {
    const fn of(params: &[Param]) -> Self {
        let mut set = 0;
        let mut rest = params;
        while let [first, others @ ..] = rest {
            set |= first.bit();
            rest = others;
        }
        Self(set)
    }

    /// Whether this one is in it.
    pub(in crate::body) const fn has(self, param: Param) -> bool {
        self.0 & param.bit() != 0
    }

    /// Adds one; whether it is new.
    pub(in crate::body) const fn insert(&mut self, param: Param) -> bool {
        let is_new = !self.has(param);
        self.0 |= param.bit();
        is_new
    }
}

/// [`ALL`] by the names' length.
const BY_LENGTH: [&[Known]; LENGTH_MAX + 1] = {
    let mut table = [ALL; LENGTH_MAX + 1];
    let mut rest = table.as_mut_slice();
    let mut length = 0_usize;
    while let [first, others @ ..] = rest {
        let (longer, _) = ALL.split_at(not_longer_than(length));
        let (_, own) = match length.checked_sub(1) {
            Some(shorter) => longer.split_at(not_longer_than(shorter)),
            None => longer.split_at(0),
        };
        *first = own;
        length = length.wrapping_add(1);
        rest = others;
    }
    table
};
const LENGTH_MAX: usize = 21;

const fn not_longer_than(length: usize) -> usize {
    let mut count = 0_usize;
    let mut rest = ALL;
    while let [(_, _, key), others @ ..] = rest
        && key.length() <= length
    {
        count = count.wrapping_add(1);
        rest = others;
    }
    count
}

impl Param {
    /// The parameter of this name, if the protocol knows it.
    #[inline]
    pub(in crate::body) fn named(name: &str) -> Option<Self> {
        let key = Key::of(name);
        let known = BY_LENGTH.get(key.length())?;
        let (param, found, _) = known.iter().find(|(_, _, known)| *known == key)?;
        (key.is_whole() || *found == name).then_some(*param)
    }

    /// Its name.
    pub(in crate::body) fn name(self) -> &'static str {
        ALL.get(self as usize).map_or("", |(_, name, _)| *name)
    }

    const fn bit(self) -> u64 {
        1_u64.wrapping_shl(self as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn every_parameter_is_found_by_its_name() {
        assert!(ALL.len() <= 64, "a set has 64 bits");
        for (index, (param, name, _)) in ALL.iter().enumerate() {
            assert_eq!((*param as usize, param.name()), (index, *name));
            assert_eq!(Param::named(name), Some(*param), "{name}");
            for other in [format!("{name}s"), name.replace('e', "E"), name[1..].to_owned()] {
                let is_known = ALL.iter().any(|(_, known, _)| *known == other);
                assert_eq!(Param::named(&other).is_some(), is_known, "{other}");
            }
        }
        for other in ["", "virtual_currency_names", "virtual_curr_ncy_name", &"x".repeat(300)] {
            assert_eq!(Param::named(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_known_needs_no_check_of_its_name() {
        for (_, name, _) in ALL {
            assert_eq!(names::param(name), None, "{name}");
        }
    }
}
