// What every binding shares: the property of a legacy operator with its usual answers, and checks that name names.
//
// A binding derives its property from dcn::Property<Param, Self>, gives its arguments and shapes, and creates a kernel
// object (an mxnet::Operator). DCN_BIND then registers it under its private name and adds it to the table of
// replacements.
#pragma once

#include <mxnet/operator.h>
#include <mxnet/op_attr_types.h>

#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../include/common.h"
#include "registry.h"

namespace dcn {

using mxnet::OpContext;
using mxnet::OpReqType;
using mxnet::ShapeVector;
using mxnet::TBlob;
using mxnet::TShape;
using Names = std::vector<std::string>;
using Keywords = std::vector<std::pair<std::string, std::string>>;

// Ends with an MXNetError of one sentence that begins with the operator's name. (CHECK and LOG(FATAL) would add the
// file and the failed condition, which tell the user nothing.)
template <typename... Parts>
[[noreturn]] void refuse(const char* op, const Parts&... parts) {
  std::ostringstream sentence;
  sentence << op << ": ";
  (sentence << ... << parts);
  throw dmlc::Error(sentence.str());
}

// Fills unknown dimensions of `found` from `expected` (-1 = unknown there); false if they contradict each other.
inline bool merge_shape(TShape* found, const TShape& expected) {
  if (!mxnet::ndim_is_known(*found)) {
    *found = expected;
    return true;
  }
  if (found->ndim() != expected.ndim()) return false;
  for (int axis = 0; axis < expected.ndim(); ++axis) {
    if (!mxnet::dim_size_is_known(*found, axis)) {
      (*found)[axis] = expected[axis];
    } else if (mxnet::dim_size_is_known(expected, axis) && (*found)[axis] != expected[axis]) {
      return false;
    }
  }
  return true;
}

// Like merge_shape, but a contradiction is an MXNetError that names the operator and the argument.
inline void expect_shape(const char* op, const char* argument, TShape* found, const TShape& expected) {
  if (!merge_shape(found, expected)) refuse(op, "shape of ", argument, " is ", *found, ", expected ", expected);
}

inline void expect_ndim(const char* op, const char* argument, const TShape& shape, int ndim) {
  if (shape.ndim() != ndim) refuse(op, argument, " needs ", ndim, " dimensions, its shape is ", shape);
}

inline void* workspace(const OpContext& context, size_t bytes) {
  return bytes ? context.requested[0].get_space_internal(bytes) : nullptr;
}

inline void check_status(const char* op, int status) {
  static const char* const reasons[] = {"", "element type is neither float32 nor float64", "impossible shape",
                                        "out of memory"};
  if (status != DCN_OK) refuse(op, reasons[status < 0 || status > 3 ? DCN_BAD_SHAPE : status]);
}

// The answers that all own operators give alike. Self provides:
//   static const char* private_name();  static const char* name();  mxnet::Operator* create(int dtype) const;
// and, as needed, check() for the parameters, ListArguments, InferShape, DeclareBackwardDependency.
template <typename Param, typename Self>
class Property : public mxnet::OperatorProperty {
 public:
  void Init(const Keywords& keywords) override {
    param.Init(keywords);
    static_cast<Self*>(this)->check();
  }
  void check() {}
  std::map<std::string, std::string> GetParams() const override { return param.__DICT__(); }
  std::string TypeString() const override { return Self::private_name(); }
  mxnet::OperatorProperty* Copy() const override {
    Self* copy = new Self();
    copy->param = param;
    return copy;
  }

  // All inputs and outputs have one element type.
  bool InferType(std::vector<int>* in, std::vector<int>* out, std::vector<int>* aux) const override {
    int dtype = -1;
    for (int type : *in) dtype = dtype == -1 ? type : dtype;
    for (int type : *out) dtype = dtype == -1 ? type : dtype;
    if (dtype == -1) return false;
    const Names arguments = this->ListArguments();
    for (size_t i = 0; i < in->size(); ++i) {
      if ((*in)[i] != -1 && (*in)[i] != dtype)
        refuse(Self::name(), arguments[i], " has another element type than ", arguments[0]);
      (*in)[i] = dtype;
    }
    out->assign(this->ListOutputs().size(), dtype);
    aux->clear();
    return true;
  }

  std::vector<mxnet::ResourceRequest> ForwardResource(const ShapeVector&) const override { return scratch(); }
  std::vector<mxnet::ResourceRequest> BackwardResource(const ShapeVector&) const override { return scratch(); }
  mxnet::Operator* CreateOperator(mxnet::Context) const override {
    refuse(Self::name(), "created without element types");
  }
  mxnet::Operator* CreateOperatorEx(mxnet::Context context, ShapeVector*, std::vector<int>* types) const override {
    if (context.dev_mask() != mshadow::cpu::kDevMask)
      refuse(Self::name(), "the own operators are built for the CPU only");
    const int dtype = (*types)[0];
    if (dtype != DCN_FLOAT32 && dtype != DCN_FLOAT64) {
      refuse(Self::name(), "needs float32 or float64, found ", mshadow::dtype_string(dtype));
    }
    return static_cast<const Self*>(this)->create(dtype);
  }

  Param param;

 private:
  static std::vector<mxnet::ResourceRequest> scratch() { return {mxnet::ResourceRequest::kTempSpace}; }
};

}  // namespace dcn

// Registers the property under `own` and adds (own, stock) to the table. Use it at global scope, with the property's
// unqualified name in reach.
#define DCN_BIND(own, stock, PropertyType)                                                                  \
  DCN_REPLACES(own, stock);                                                                                 \
  namespace mxnet {                                                                                         \
  MXNET_REGISTER_OP_PROPERTY(own, PropertyType).add_arguments(decltype(PropertyType::param)::__FIELDS__()); \
  }
