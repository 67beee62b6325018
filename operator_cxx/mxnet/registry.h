// The table of the project's operators: each binding adds one row, and the exported functions in registry.cc walk it.
#pragma once

#include <mxnet/operator.h>

#include <exception>
#include <map>
#include <string>
#include <vector>

namespace dcn {

// Adds (private name, stock name) to the table; both with their _contrib_ prefix. Construct at namespace scope through
// DCN_REPLACES.
struct Replacement {
  Replacement(const char* own, const char* stock);
};

// The operator that MXNet itself has under the name that `own` (a private name) takes, of these parameters; those that
// it does not know are left out.
mxnet::Operator* stock_operator(const char* own, const std::map<std::string, std::string>& parameters,
                                mxnet::Context context, mxnet::ShapeVector* shapes, std::vector<int>* types);

// Keeps the sentence for dcn_mxnet_error().
void remember_error(const char* sentence);

// 0, or 1 where the action throws.
template <typename Action>
int guarded(Action action) {
  try {
    action();
    return 0;
  } catch (const std::exception& error) {
    remember_error(error.what());
    return 1;
  }
}

}  // namespace dcn

// DCN_REPLACES(_contrib_OwnPSROIPooling, _contrib_PSROIPooling); once per operator, in its binding file.
#define DCN_REPLACES(own, stock) static const ::dcn::Replacement replacement_##own(#own, #stock)
