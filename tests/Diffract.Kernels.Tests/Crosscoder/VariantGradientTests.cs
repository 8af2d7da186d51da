using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>Gradients of the variants against finite differences of their losses, written out in double: code norms, decoupled codes, a centred encoder.</summary>
public sealed class VariantGradientTests
{
    public static TheoryData<string, CodeNormKind> Norms
    {
        get
        {
            TheoryData<string, CodeNormKind> data = [];
            foreach (string name in (string[])["reference", "vector-3", "avx2-1", "avx512-1"])
            {
                foreach (CodeNormKind norm in Enum.GetValues<CodeNormKind>())
                {
                    data.Add(name, norm);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Norms))]
    public void The_penalty_pulls_on_the_decoder_as_its_code_norm_says(string name, CodeNormKind kind)
    {
        const double Mu = 0.3;
        using IBackend backend = BackendsUnderTest.Create(name);
        CodeNorm norm = new(kind, 0.7, 0.2);
        CrosscoderCase given = new(6, 9, [4, 3], exact: false, seed: 22, norm);
        // The last latent decodes to nothing: its norm has no derivative.
        given.Parameters.BEnc_L.Row(0)[8] = -100;
        LatentParameters p = given.Copy(Matrix.Host(9, 2));
        backend.Crosscoder.DecoderNorms(p);
        using SparseCode code = given.NewCode();
        backend.Crosscoder.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, code);
        Matrix sums_L = Matrix.Host(1, 9);
        backend.Crosscoder.CodeSums(code, sums_L);
        for (int j = 0; j < 9; j++)
        {
            double squares = p.Norms_LM.Row(j).ToArray().Sum(n => (double)n * n);
            for (int m = 0; m < 2; m++)
            {
                p.Pull_LM!.Value.Row(j)[m] = (float)(Mu / 6 * sums_L.Row(0)[j] * norm.Slope(p.Norms_LM.Row(j)[m], squares));
            }
        }

        Gradients got = Gradients.Of(backend.Crosscoder, given, p, code, given.Acts_BE, squared: false, (float)(Mu / 6), centred: false);
        VariantLoss loss = new(given, code) { Mu = Mu, Norm = norm };
        loss.Compare(got);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_decoupled_code_sends_each_models_gradient_to_its_own_pairs(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(7, 9, [4, 3], exact: false, seed: 23);
        LatentParameters p = given.Copy() with { CodeNorm = CodeNormKind.Decoupled };
        backend.Crosscoder.DecoderNorms(p);
        using SparseCode code = given.NewCode();
        // Any norms: what is selected is held fixed. These let the models differ.
        Matrix norms_LM = Matrix.Host(9, 2);
        for (int j = 0; j < 9; j++)
        {
            (norms_LM.Row(j)[0], norms_LM.Row(j)[1]) = (1 + j % 3, 1 + (j + 1) % 3);
        }

        backend.Crosscoder.EncodeSelectByModel(given.Acts_BE, p.WEnc_LE, p.BEnc_L, norms_LM, given.Offsets, [Selection.BatchTopK(14), Selection.BatchTopK(9)], code);
        int[] masks = Check.Ints(code.PairModels!, code.Pairs);
        Assert.Equal(14, masks.Count(m => (m & 1) != 0));
        Assert.Equal(9, masks.Count(m => (m & 2) != 0));
        Assert.True(masks.Distinct().Count() == 3, "wanted pairs of the first model, of the second and of both");
        Gradients got = Gradients.Of(backend.Crosscoder, given, p, code, given.Acts_BE, squared: false, 0, centred: false);
        new VariantLoss(given, code).Compare(got);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_bias_taken_off_before_the_encoder_gets_both_its_gradients(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(7, 9, [6], exact: false, seed: 24, CodeNormKind.None);
        LatentParameters p = given.Copy();
        backend.Crosscoder.DecoderNorms(p);
        using SparseCode code = given.NewCode();
        Matrix centred_BE = Matrix.Host(7, 6);
        backend.Crosscoder.Affine(given.Acts_BE, given.BDec_E, null, null, centred_BE);
        backend.Crosscoder.EncodeSelect(centred_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.BatchTopK(20), code);
        Gradients got = Gradients.Of(backend.Crosscoder, given, p, code, centred_BE, squared: true, 0, centred: true);
        new VariantLoss(given, code) { Squared = true, Centred = true }.Compare(got);
    }

    /// <summary>What one update saw: with β₁ = 0 the first moments are the gradients.</summary>
    sealed record Gradients(Matrix Enc_LE, Matrix Dec_LE, Matrix Bias_L, Matrix DecBias_E)
    {
        public static Gradients Of(
            ICrosscoderKernels kernels, CrosscoderCase given, LatentParameters p, SparseCode code, Matrix input_BE, bool squared, float penalty, bool centred)
        {
            Matrix recon_BE = Matrix.Host(given.Tokens, given.E), grad_BE = Matrix.Host(given.Tokens, given.E), bias_E = Matrix.Host(1, given.E);
            kernels.Decode(code, p.WDec_LE, given.BDec_E, recon_BE);
            kernels.Residual(given.Acts_BE, recon_BE, given.Offsets, squared, null, grad_BE);
            kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, penalty);
            kernels.ColumnSums(grad_BE, bias_E);
            LatentTerm[] terms = [new(code, grad_BE)];
            if (centred)
            {
                kernels.CentreGradient(terms, p.WEnc_LE, bias_E);
            }

            kernels.UpdateLatents(terms, input_BE, p, AdamStep.At(1, 0, 1, beta1: 0));
            return new Gradients(p.EncM_LE, p.DecM_LE, p.BiasM_L, bias_E);
        }
    }

    /// <summary>The loss in double, with the selection of a code held fixed.</summary>
    sealed class VariantLoss
    {
        readonly CrosscoderCase _given;
        readonly int[,] _on_BL;
        readonly double[] _enc, _dec, _bias, _decBias;

        public VariantLoss(CrosscoderCase given, SparseCode code)
        {
            _given = given;
            _on_BL = new int[given.Tokens, given.Latents];
            (_enc, _dec, _bias, _decBias) = (Doubles(given.Parameters.WEnc_LE), Doubles(given.Parameters.WDec_LE), Doubles(given.Parameters.BEnc_L), Doubles(given.BDec_E));
            for (int j = 0; j < given.Latents; j++)
            {
                for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
                {
                    _on_BL[code.PairToken.Span<int>()[i], j] = code.ModelOffsets is null ? -1 : code.PairModels!.Span<int>()[i];
                }
            }
        }

        public double Mu { get; init; }

        public CodeNorm Norm { get; init; }

        public bool Squared { get; init; }

        public bool Centred { get; init; }

        public void Compare(Gradients got)
        {
            Compare(_enc, got.Enc_LE, "gEnc");
            Compare(_dec, got.Dec_LE, "gDec");
            Compare(_bias, got.Bias_L, "gBias");
            Compare(_decBias, got.DecBias_E, "gradient of bDec");
        }

        void Compare(double[] values, Matrix gradient, string what)
        {
            const double H = 1e-6;
            double largest = 0, worst = 0;
            for (int i = 0; i < values.Length; i++)
            {
                double kept = values[i];
                values[i] = kept + H;
                double up = Loss();
                values[i] = kept - H;
                double down = Loss();
                values[i] = kept;
                double slope = (up - down) / (2 * H);
                largest = Math.Max(largest, Math.Abs(slope));
                worst = Math.Max(worst, Math.Abs(slope - gradient.Row(i / gradient.Columns)[i % gradient.Columns]));
            }

            Assert.True(largest > 0 && worst <= 1e-5 * largest, $"{what}: off by {worst}, largest {largest}");
        }

        double Loss()
        {
            (int width, int models) = (_given.E, _given.Offsets.Length - 1);
            double loss = 0;
            for (int b = 0; b < _given.Tokens; b++)
            {
                double[] recon = [.. _decBias];
                for (int j = 0; j < _given.Latents; j++)
                {
                    if (_on_BL[b, j] == 0)
                    {
                        continue;
                    }

                    double f = _bias[j];
                    for (int c = 0; c < width; c++)
                    {
                        f += _enc[j * width + c] * (_given.Acts_BE.Row(b)[c] - (Centred ? _decBias[c] : 0));
                    }

                    for (int m = 0; m < models; m++)
                    {
                        for (int c = _given.Offsets[m]; c < _given.Offsets[m + 1] && (_on_BL[b, j] >> m & 1) != 0; c++)
                        {
                            recon[c] += f * _dec[j * width + c];
                        }
                    }

                    loss += Mu == 0 ? 0 : Mu * f * Scale(j) / _given.Tokens;
                }

                for (int m = 0; m < models; m++)
                {
                    double square = Square(c => _given.Acts_BE.Row(b)[c] - recon[c], m);
                    loss += (Squared ? square : Math.Sqrt(square)) / (_given.Tokens * models);
                }
            }

            return loss;
        }

        double Scale(int latent)
        {
            double[] squares = [.. Enumerable.Range(0, _given.Offsets.Length - 1).Select(m => Square(c => _dec[latent * _given.E + c], m))];
            double all = Math.Sqrt(squares.Sum()), sum = squares.Sum(Math.Sqrt);
            return Norm.Kind switch
            {
                CodeNormKind.Sae => all,
                CodeNormKind.Mixed => Norm.AlphaSae * all + Norm.AlphaCc * sum,
                CodeNormKind.None => 1,
                _ => sum,
            };
        }

        double Square(Func<int, double> x, int model)
            => Enumerable.Range(_given.Offsets[model], _given.Offsets[model + 1] - _given.Offsets[model]).Sum(c => x(c) * x(c));

        static double[] Doubles(Matrix matrix)
            => [.. Enumerable.Range(0, matrix.Rows * matrix.Columns).Select(i => (double)matrix.Row(i / matrix.Columns)[i % matrix.Columns])];
    }
}
