//! What the protocol knows of parameters: which a recommended event requires, which are numbers,
//! which belong to an item.

/// The parameters that some event requires. A set of them is a [`Set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::body) struct Param(u16, &'static str);

/// A set of [`Param`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::body) struct Set(u16);

const TRANSACTION_ID: Param = Param(1, "transaction_id");
pub(in crate::body) const ITEMS: Param = Param(1 << 1, "items");
const VALUE: Param = Param(1 << 2, "value");
const CURRENCY: Param = Param(1 << 3, "currency");
const SEARCH_TERM: Param = Param(1 << 4, "search_term");
const VIRTUAL_CURRENCY_NAME: Param = Param(1 << 5, "virtual_currency_name");
const SCORE: Param = Param(1 << 6, "score");
const ACHIEVEMENT_ID: Param = Param(1 << 7, "achievement_id");

const PARAMS: &[Param] = &[
    TRANSACTION_ID,
    ITEMS,
    VALUE,
    CURRENCY,
    SEARCH_TERM,
    VIRTUAL_CURRENCY_NAME,
    SCORE,
    ACHIEVEMENT_ID,
];

/// What a recommended event requires (EB `eventDefinitions.ts`; `purchase` and `refund` G-EV too). An
/// event that requires nothing is not listed.
const REQUIRED: &[(&str, &[Param])] = &[
    ("add_payment_info", &[VALUE, ITEMS]),
    ("add_shipping_info", &[VALUE, ITEMS]),
    ("add_to_cart", &[VALUE, ITEMS]),
    ("add_to_wishlist", &[VALUE, ITEMS]),
    ("begin_checkout", &[VALUE, ITEMS]),
    ("generate_lead", &[VALUE]),
    ("post_score", &[SCORE]),
    ("purchase", &[TRANSACTION_ID, VALUE, ITEMS]),
    ("refund", &[TRANSACTION_ID, VALUE]),
    ("remove_from_cart", &[VALUE, ITEMS]),
    ("search", &[SEARCH_TERM]),
    ("select_item", &[ITEMS]),
    ("spend_virtual_currency", &[VALUE, VIRTUAL_CURRENCY_NAME]),
    ("unlock_achievement", &[ACHIEVEMENT_ID]),
    ("view_cart", &[VALUE, ITEMS]),
    ("view_item", &[VALUE, ITEMS]),
    ("view_item_list", &[ITEMS]),
    ("view_promotion", &[ITEMS]),
];

/// Events whose `value` is an amount of money and needs a `currency` (EB, which wants a `value` beside a
/// `currency` too; all of these require one anyway). Elsewhere a `value` may be anything, a page's loading time say.
const OF_MONEY: &[&str] = &[
    "add_payment_info",
    "add_shipping_info",
    "add_to_cart",
    "add_to_wishlist",
    "begin_checkout",
    "generate_lead",
    "purchase",
    "refund",
    "remove_from_cart",
    "view_cart",
    "view_item",
];

/// Parameters that are numbers (G-REF, G-EV; a recorded answer refuses a price of `$19`). As in proto3
/// JSON, text that is a number is one. The rest of G-EV's numbers is not in our sources.
const NUMBERS: &[&str] = &["value", "price", "engagement_time_msec"];

/// The parameters of an item that are not custom (G-EV).
const OF_ITEMS: &[&str] = &[
    "item_id",
    "item_name",
    "affiliation",
    "coupon",
    "creative_name",
    "creative_slot",
    "discount",
    "index",
    "item_brand",
    "item_category",
    "item_category2",
    "item_category3",
    "item_category4",
    "item_category5",
    "item_list_id",
    "item_list_name",
    "item_variant",
    "location_id",
    "price",
    "promotion_id",
    "promotion_name",
    "quantity",
];

impl Param {
    /// The parameter of this name, if some event requires it.
    pub(in crate::body) fn named(name: &str) -> Option<Self> {
        PARAMS.iter().copied().find(|param| param.1 == name)
    }

    /// Its name.
    pub(in crate::body) const fn name(self) -> &'static str {
        self.1
    }
}

impl Set {
    /// Adds one.
    pub(in crate::body) fn insert(&mut self, param: Param) {
        self.0 |= param.0;
    }

    /// Those that an event of this name should have and that are not in the set.
    pub(in crate::body) fn missing_for(self, event: &str) -> impl Iterator<Item = Param> {
        let has = move |param: Param| self.0 & param.0 != 0;
        let required = REQUIRED.iter().find(|(name, _)| *name == event).map(|(_, params)| *params);
        let currency = (OF_MONEY.contains(&event) && has(VALUE)).then_some(CURRENCY);
        required
            .unwrap_or_default()
            .iter()
            .copied()
            .chain(currency)
            .filter(move |param| !has(*param))
    }
}

/// Whether this parameter has to be a number.
pub(in crate::body) fn is_number(name: &str) -> bool {
    NUMBERS.contains(&name)
}

/// Whether an item's parameter is one that the protocol names.
pub(in crate::body) fn is_of_items(name: &str) -> bool {
    OF_ITEMS.contains(&name)
}
