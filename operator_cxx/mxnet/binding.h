// What every binding shares: the property of a legacy operator with its usual answers, calls of its kernels on the CPU
// or on a GPU, and checks that name names.
//
// A binding derives its property from dcn::Property<Param, Self>, gives its arguments and shapes, and creates an
// operator derived from dcn::Kernel. DCN_BIND then registers it under its private name and adds it to the table of
// replacements.
#pragma once

#include <mxnet/op_attr_types.h>
#include <mxnet/operator.h>

#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../include/common.h"
#include "gpu.h"
#include "registry.h"

namespace dcn {

using mxnet::OpContext;
using mxnet::OpReqType;
using mxnet::ShapeVector;
using mxnet::TBlob;
using mxnet::TShape;
using Blobs = std::vector<TBlob>;
using Requests = std::vector<OpReqType>;
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

// What an operator is created for.
struct Place {
  const char* op;
  int dtype;
  const CudaFunctions* cuda;  // null: the CPU
};

// What the operators share: the same structs and pointers go to libdcn.so or to libdcn_cuda.so.
class Kernel : public mxnet::Operator {
 public:
  explicit Kernel(const Place& place) : op_(place.op), dtype_(place.dtype), cuda_(place.cuda) {}

 protected:
  // cpu(arguments...), or on a GPU cuda(arguments..., stream).
  template <typename Cpu, typename Cuda, typename... Arguments>
  void run(const OpContext& context, Cpu cpu, Cuda CudaFunctions::* cuda, Arguments... arguments) const {
    check(cuda_ ? (cuda_->*cuda)(arguments..., stream(context)) : cpu(arguments...));
  }

  // cpu(arguments...), or on a GPU cuda(arguments..., workspace of so many bytes, bytes, stream).
  template <typename Cpu, typename Cuda, typename... Arguments>
  void run_in(size_t bytes, const OpContext& context, Cpu cpu, Cuda CudaFunctions::* cuda,
              Arguments... arguments) const {
    check(cuda_ ? (cuda_->*cuda)(arguments..., workspace(context, bytes), bytes, stream(context)) : cpu(arguments...));
  }

  // Workspace that the gradients of a pooling need.
  size_t pooling_bytes(const TBlob& data) const { return cuda_ ? cuda_->pooling_workspace(data.Size(), dtype_) : 0; }

  // The stream of the operator's GPU, which becomes the current device; null where a CPU stands in for it.
  void* stream(const OpContext& context) const {
    const mxnet::RunContext& where = context.run_ctx;
    check(cuda_->set_device(where.ctx.dev_id));
    return where.ctx.dev_mask() == mshadow::cpu::kDevMask ? nullptr : *static_cast<void**>(where.stream);
  }

  void check(int status) const {
    static const char* const reasons[] = {"", "element type is neither float32 nor float64", "impossible shape",
                                          "out of memory"};
    if (status == DCN_OK) return;
    refuse(op_, cuda_ ? cuda_->error() : reasons[status < 0 || status > 3 ? DCN_BAD_SHAPE : status]);
  }

  const char* op_;
  const int dtype_;
  const CudaFunctions* cuda_;
};

// The answers that all of the project's operators give alike. Self provides:
//   static const char* private_name();  static const char* name();  mxnet::Operator* create(const Place&) const;
// and, as needed, check() for the parameters, check_stock() for what the stock operator lacks, kStockHalf,
// ListArguments, InferShape, DeclareBackwardDependency.
template <typename Param, typename Self>
class Property : public mxnet::OperatorProperty {
 public:
  void Init(const Keywords& keywords) override {
    param.Init(keywords);
    static_cast<Self*>(this)->check();
  }
  void check() {}
  void check_stock() const {}
  std::map<std::string, std::string> GetParams() const override { return param.__DICT__(); }
  std::string TypeString() const override { return Self::private_name(); }
  mxnet::OperatorProperty* Copy() const override {
    Self* copy = new Self();
    copy->param = param;
    return copy;
  }

  // Does the stock operator compute float16 on the CPU? The project's CPU kernels do not.
  static constexpr bool kStockHalf = false;

  // All inputs and outputs have one element type. RoIs stay float32 beside float16 where the project's GPU kernels are
  // loaded: float16 cannot hold every pixel above 2048. (The context is not known here, so this holds on the CPU too.)
  bool InferType(std::vector<int>* in, std::vector<int>* out, std::vector<int>* aux) const override {
    int dtype = -1;
    for (int type : *in) dtype = dtype == -1 ? type : dtype;
    for (int type : *out) dtype = dtype == -1 ? type : dtype;
    if (dtype == -1) return false;
    const Names arguments = this->ListArguments();
    for (size_t i = 0; i < in->size(); ++i) {
      const bool wide = dtype == DCN_FLOAT16 && arguments[i] == "rois" && cuda_functions();
      const int expected = wide ? int(DCN_FLOAT32) : dtype;
      if ((*in)[i] != -1 && (*in)[i] != expected) {
        refuse(
            Self::name(), arguments[i],
            wide ? " must be float32 where the others are float16" : " has another element type than " + arguments[0]);
      }
      (*in)[i] = expected;
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
  mxnet::Operator* CreateOperatorEx(mxnet::Context context, ShapeVector* shapes,
                                    std::vector<int>* types) const override {
    const Self& self = *static_cast<const Self*>(this);
    const Place place = {Self::name(), (*types)[0], for_gpu(context) ? cuda_functions() : nullptr};
    if (for_gpu(context) && !place.cuda) {
      self.check_stock();
      return stock_operator(Self::private_name(), GetParams(), context, shapes, types);
    }
    const bool half = place.dtype == DCN_FLOAT16 && (place.cuda || Self::kStockHalf);
    if (half && !place.cuda) {
      if ((*types)[1] != DCN_FLOAT16) refuse(Self::name(), "on the CPU float16 data need float16 rois, found float32");
      return stock_operator(Self::private_name(), GetParams(), context, shapes, types);
    }
    if (place.dtype != DCN_FLOAT32 && place.dtype != DCN_FLOAT64 && !half) {
      refuse(Self::name(), "needs float32 or float64", place.cuda ? " or float16" : "", ", found ",
             place.dtype == DCN_FLOAT16 ? "float16" : mshadow::dtype_string(place.dtype));
    }
    return self.create(place);
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
