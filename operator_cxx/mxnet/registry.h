// The table of own operators: each binding adds one row, and the exported functions in registry.cc walk it.
#pragma once

namespace dcn {

// Adds (private name, stock name) to the table; both with their _contrib_ prefix. Construct at namespace scope through
// DCN_REPLACES.
struct Replacement {
  Replacement(const char* own, const char* stock);
};

}  // namespace dcn

// DCN_REPLACES(_contrib_OwnPSROIPooling, _contrib_PSROIPooling); once per operator, in its binding file.
#define DCN_REPLACES(own, stock) static const ::dcn::Replacement replacement_##own(#own, #stock)
