//! The rules by name, and the code that GA4's validation server gives to each.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// GA4's `validationCode` (G-REF). Its undocumented `INTERNAL_ERROR` is not ours to send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ValidationCode { $($(#[$doc])* $name,)* }

        impl ValidationCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it, as GA4 writes it.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $code:ident;)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it: for logs, labels and the docs.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// GA4's code for it.
            #[must_use]
            pub const fn code(self) -> ValidationCode {
                match self { $(Self::$name => ValidationCode::$code,)* }
            }
        }
    };
}

codes! {
    /// The value is not one the field may have.
    ValueInvalid = "VALUE_INVALID";
    /// A value that has to be there is not.
    ValueRequired = "VALUE_REQUIRED";
    /// The name is not one the protocol allows.
    NameInvalid = "NAME_INVALID";
    /// The name is Google's own.
    NameReserved = "NAME_RESERVED";
    /// The value is too large.
    ValueOutOfBounds = "VALUE_OUT_OF_BOUNDS";
    /// Too many of something.
    ExceededMaxEntities = "EXCEEDED_MAX_ENTITIES";
    /// One name more than once.
    NameDuplicated = "NAME_DUPLICATED";
}

rules! {
    /// The body has no single reading; see [`super::super::Ambiguity`].
    Unreadable = "unreadable", ValueInvalid;
    /// The body has no single reading because a name stands twice in an object.
    DuplicateKey = "duplicate_key", NameDuplicated;
    /// A member that the protocol does not know (a recorded answer: "Cannot find field").
    UnknownMember = "unknown_member", ValueInvalid;
    /// A value of a type that its field does not take (G-REF; no list but `items`, no object in
    /// parameters).
    WrongType = "wrong_type", ValueInvalid;
    /// More bytes than a body may have.
    BodyTooLarge = "body_too_large", ValueOutOfBounds;
    /// A web stream's body without `client_id` (G-REF).
    ClientIdMissing = "client_id_missing", ValueRequired;
    /// A `client_id` of another shape than recommended. Only for who asks `ENFORCE_RECOMMENDATIONS`.
    ClientIdFormat = "client_id_format", ValueInvalid;
    /// An app stream's body without `app_instance_id` (G-REF).
    AppInstanceIdMissing = "app_instance_id_missing", ValueRequired;
    /// An `app_instance_id` that is not 32 hexadecimal digits (EB).
    AppInstanceIdFormat = "app_instance_id_format", ValueInvalid;
    /// A long `user_id`.
    UserIdTooLong = "user_id_too_long", ValueOutOfBounds;
    /// A `validation_behavior` that is neither of the two.
    ValidationBehaviorInvalid = "validation_behavior_invalid", ValueInvalid;
    /// A consent that is neither `GRANTED` nor `DENIED`.
    ConsentInvalid = "consent_invalid", ValueInvalid;
    /// A timestamp more than 72 hours back.
    TimestampTooOld = "timestamp_too_old", ValueInvalid;
    /// A timestamp in the future.
    TimestampAhead = "timestamp_ahead", ValueInvalid;
    /// Too many values in a field of `user_data`.
    TooManyUserData = "too_many_user_data", ExceededMaxEntities;
    /// Not a SHA-256 digest in hexadecimal where `user_data` wants one.
    NotSha256 = "not_sha256", ValueInvalid;
    /// Too many user properties.
    TooManyUserProperties = "too_many_user_properties", ExceededMaxEntities;
    /// A user property's name has another shape, or is too long.
    UserPropertyNameInvalid = "user_property_name_invalid", NameInvalid;
    /// A user property's name is Google's own.
    UserPropertyNameReserved = "user_property_name_reserved", NameReserved;
    /// A user property's value is too long.
    UserPropertyValueTooLong = "user_property_value_too_long", ValueOutOfBounds;
    /// Neither an event nor user data.
    EventsMissing = "events_missing", ValueRequired;
    /// Too many events.
    TooManyEvents = "too_many_events", ExceededMaxEntities;
    /// An event without a name.
    EventNameMissing = "event_name_missing", ValueRequired;
    /// An event's name has another shape, or is too long.
    EventNameInvalid = "event_name_invalid", NameInvalid;
    /// An event's name is Google's own. Widely used tools send `first_visit` all the same.
    EventNameReserved = "event_name_reserved", NameReserved;
    /// An event that only app streams may have.
    EventAppOnly = "event_app_only", NameReserved;
    /// Too many parameters of an event.
    TooManyParams = "too_many_params", ExceededMaxEntities;
    /// A parameter's name has another shape, or is too long.
    ParamNameInvalid = "param_name_invalid", NameInvalid;
    /// A parameter's name is Google's own.
    ParamNameReserved = "param_name_reserved", NameReserved;
    /// A parameter's value is too long.
    ParamValueTooLong = "param_value_too_long", ValueOutOfBounds;
    /// A parameter that has to be a number is none.
    ParamNotNumber = "param_not_number", ValueInvalid;
    /// A parameter that this event requires is missing.
    ParamMissing = "param_missing", ValueRequired;
    /// A `currency` that is not three upper-case letters (EB, ISO 4217).
    CurrencyInvalid = "currency_invalid", ValueInvalid;
    /// Too many items of an event.
    TooManyItems = "too_many_items", ExceededMaxEntities;
    /// An item with neither `item_id` nor `item_name`.
    ItemUnnamed = "item_unnamed", ValueRequired;
    /// Too many parameters of an item that the protocol does not name.
    TooManyItemParams = "too_many_item_params", ExceededMaxEntities;
}
