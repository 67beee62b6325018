// Binding of Winograd's convolution, an operator that MXNet does not have: graphs get it when they are bound
// (lib/dcn/rewrite/winograd.py), never when they are saved. Inference on a CPU, float32.
#include "../include/winograd.h"

#include <dmlc/parameter.h>

#include "binding.h"

namespace {

struct WinogradParam : public dmlc::Parameter<WinogradParam> {
  int num_filter;
  bool no_bias, relu;
  DMLC_DECLARE_PARAMETER(WinogradParam) {
    DMLC_DECLARE_FIELD(num_filter).set_lower_bound(1).describe("Filters.");
    DMLC_DECLARE_FIELD(no_bias).set_default(false).describe("Whether there is no bias.");
    DMLC_DECLARE_FIELD(relu).set_default(false).describe("Whether a ReLU follows.");
  }
};

enum Input { kData, kWeight, kBias };

class Winograd : public dcn::Kernel {
 public:
  Winograd(const dcn::Place& place, const WinogradParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn::TShape& data = in[kData].shape_;
    const dcn_winograd_shape shape = {int(data[0]), int(data[1]),      int(data[2]),
                                      int(data[3]), param_.num_filter, param_.relu};
    check(dcn_winograd_forward(&shape, in[kData].dptr<float>(), in[kWeight].dptr<float>(),
                               param_.no_bias ? nullptr : in[kBias].dptr<float>(), out[0].dptr<float>(), request[0],
                               dcn::workspace(context, dcn_winograd_workspace(&shape))));
  }

 private:
  WinogradParam param_;
};

class WinogradProp : public dcn::Property<WinogradParam, WinogradProp> {
 public:
  static const char* private_name() { return "_contrib_WinogradConvolution"; }
  static const char* name() { return "WinogradConvolution"; }

  void check_stock() const { dcn::refuse(name(), "runs on CPUs only"); }

  dcn::Names ListArguments() const override {
    return param.no_bias ? dcn::Names{"data", "weight"} : dcn::Names{"data", "weight", "bias"};
  }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    dcn::TShape& data = (*in)[kData];
    if (mxnet::ndim_is_known(data)) dcn::expect_ndim(name(), "data", data, 4);
    dcn::expect_shape(name(), "data", &data, mshadow::Shape4(-1, -1, -1, -1));
    if (!mxnet::dim_size_is_known(data, 1)) return false;
    const dcn_winograd_shape shape = {1, int(data[1]), 1, 1, param.num_filter, 0};
    dcn::expect_shape(name(), "weight (as dcn_winograd_pack makes it)", &(*in)[kWeight],
                      mshadow::Shape1(dcn_winograd_packed(&shape)));
    if (!param.no_bias) dcn::expect_shape(name(), "bias", &(*in)[kBias], mshadow::Shape1(param.num_filter));
    out->resize(1);
    aux->clear();
    dcn::expect_shape(name(), "the output", &(*out)[0], mshadow::Shape4(data[0], param.num_filter, data[2], data[3]));
    return mxnet::shape_is_known(data);
  }

  mxnet::Operator* create(const dcn::Place& place) const {
    if (place.cuda) check_stock();
    if (place.dtype != DCN_FLOAT32) dcn::refuse(name(), "needs float32");
    return new Winograd(place, param);
  }
};

DMLC_REGISTER_PARAMETER(WinogradParam);

}  // namespace

namespace mxnet {
MXNET_REGISTER_OP_PROPERTY(_contrib_WinogradConvolution, WinogradProp).add_arguments(WinogradParam::__FIELDS__());
}
