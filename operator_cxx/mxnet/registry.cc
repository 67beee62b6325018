// Makes the project's operators known to MXNet and switches each stock name between the project's implementation and
// MXNet's.
//
// A legacy operator finds its whole behaviour (shapes, types, resources, gradient, kernels) in the property that its
// attribute parser leaves in the node. So copying that one parser from the private operator onto the stock name is all
// that a replacement takes; names, documentation and JSON stay those of the stock operator. A node keeps what it was
// created or loaded with.
#include "registry.h"

#include <nnvm/op.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "../include/common.h"

namespace mxnet {
namespace op {
void RegisterLegacyOpProp();  // exported by libmxnet.so; skips operators that it has registered before
}  // namespace op
}  // namespace mxnet

namespace {

using AttrParser = std::function<void(nnvm::NodeAttrs*)>;

struct Row {
  std::string own, stock;
  AttrParser stock_forward, stock_backward;  // saved when the project's operator first takes the name
  bool active = false;
};

std::vector<Row>& table() {
  static std::vector<Row> rows;  // filled by constructors of other files, hence built on first use
  return rows;
}

std::string& last_error() {
  static thread_local std::string message;
  return message;
}

nnvm::Op& find(const std::string& name) { return const_cast<nnvm::Op&>(*nnvm::Op::Get(name)); }

void set_active(Row* row, bool own) {
  const std::string backward = "_backward_";
  nnvm::Op &stock = find(row->stock), &stock_backward = find(backward + row->stock);
  if (!row->stock_forward) {
    row->stock_forward = stock.attr_parser;
    row->stock_backward = stock_backward.attr_parser;
  }
  stock.set_attr_parser(own ? find(row->own).attr_parser : row->stock_forward);
  stock_backward.set_attr_parser(own ? find(backward + row->own).attr_parser : row->stock_backward);
  row->active = own;
}

}  // namespace

dcn::Replacement::Replacement(const char* own, const char* stock) {
  Row row;
  row.own = own;
  row.stock = stock;
  table().push_back(row);
}

void dcn::remember_error(const char* sentence) { last_error() = sentence; }

mxnet::Operator* dcn::stock_operator(const char* own, const std::map<std::string, std::string>& parameters,
                                     mxnet::Context context, mxnet::ShapeVector* shapes, std::vector<int>* types) {
  const auto row = std::find_if(table().begin(), table().end(), [own](const Row& row) { return row.own == own; });
  const mxnet::OperatorPropertyReg* stock = dmlc::Registry<mxnet::OperatorPropertyReg>::Find(row->stock);
  std::vector<std::pair<std::string, std::string>> known;
  for (const auto& field : stock->arguments) {
    const auto parameter = parameters.find(field.name);
    if (parameter != parameters.end()) known.push_back(*parameter);
  }
  const std::unique_ptr<mxnet::OperatorProperty> property(stock->body());
  property->Init(known);
  return property->CreateOperatorEx(context, shapes, types);
}

// Call once, after libmxnet is loaded. 0, or 1 with the reason in dcn_mxnet_error().
DCN_API int dcn_mxnet_init() {
  return dcn::guarded([] { mxnet::op::RegisterLegacyOpProp(); });
}

DCN_API const char* dcn_mxnet_error() { return last_error().c_str(); }

DCN_API int dcn_mxnet_count() { return static_cast<int>(table().size()); }

// Stock name of a row, with its _contrib_ prefix.
DCN_API const char* dcn_mxnet_name(int row) { return table()[row].stock.c_str(); }

DCN_API int dcn_mxnet_is_own(int row) { return table()[row].active; }

// Gives the stock name of a row to the project's operator (1), or back to the stock one (0). Returns 0, or 1 with the
// reason in dcn_mxnet_error().
DCN_API int dcn_mxnet_use(int row, int own) {
  return dcn::guarded([&] { set_active(&table()[row], own != 0); });
}
