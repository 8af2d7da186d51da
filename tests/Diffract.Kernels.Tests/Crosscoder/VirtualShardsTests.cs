using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>
/// The promise of virtual shards: sums over latents that are taken for parts of a dictionary by themselves and then added by the tree have the bits of the sums over the whole.
/// </summary>
public sealed class VirtualShardsTests
{
    static readonly (int Tokens, int Latents, int[] Widths, Selection Selection)[] Cases =
    [
        (9, 40, [70, 60], Selection.BatchTopK(60)), (40, 700, [300, 290], Selection.BatchTopK(900)), (21, 330, [33, 40], Selection.Positive), (5, 7, [6], Selection.Positive),
    ];

    [Fact]
    public void The_tree_adds_neighbours_first()
    {
        // 2⁶⁰ swallows a 1 that comes alone; the pairs are cut so that it does or does not.
        const double Big = 1L << 60;
        Assert.Equal(Big, VirtualShards.Add<double>([Big, 1, 0, 0]));
        Assert.Equal(2, VirtualShards.Add<double>([Big, -Big, 1, 1]));
        Assert.Equal(0, VirtualShards.Add<double>([Big, 1, -Big, 1]));
        Assert.Equal(1, VirtualShards.Add<double>([Big, -Big, 1]));
        Assert.Equal(0, VirtualShards.Add<double>([]));
        Assert.Equal(32, VirtualShards.Count);
        Assert.Equal([1, 1, 1, 2, 256], new[] { 1, 31, 32, 33, 8192 }.Select(VirtualShards.Size));
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Parts_of_a_dictionary_add_up_to_the_bits_of_the_whole(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ICrosscoderKernels kernels = backend.Crosscoder;
        foreach ((int tokens, int latents, int[] widths, Selection selection) in Cases)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: false, seed: latents);
            LatentParameters p = given.Parameters;
            using SparseCode code = given.NewCode();
            kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, selection, code);
            Matrix grad_BE = given.Fill(tokens, given.E, padding: 1), recon_BE = Matrix.Host(tokens, given.E);
            kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0);
            kernels.Decode(code, p.WDec_LE, null, recon_BE);
            double squares = kernels.GradientSquares([new LatentTerm(code, grad_BE)], given.Acts_BE, p);
            foreach (int shards in new[] { 1, 4, 16 })
            {
                List<float[]> recons = [];
                List<double> norms = [];
                for (int first = 0; first < latents; first += shards * code.ShardSize)
                {
                    int some = Math.Min(shards * code.ShardSize, latents - first);
                    using SparseCode part = Part(code, first, some);
                    Matrix partial_BE = Matrix.Host(tokens, given.E);
                    kernels.Decode(part, p.WDec_LE.SliceRows(first, some), null, partial_BE);
                    recons.Add(Check.Floats((HostBuffer)partial_BE.Buffer, tokens * given.E));
                    norms.Add(kernels.GradientSquares([new LatentTerm(part, grad_BE)], given.Acts_BE, Slice(p, first, some)));
                }

                Assert.True(Check.Floats((HostBuffer)recon_BE.Buffer, tokens * given.E).Select(BitConverter.SingleToInt32Bits).SequenceEqual(Tree(recons).Select(BitConverter.SingleToInt32Bits)));
                Assert.Equal(BitConverter.DoubleToInt64Bits(squares), BitConverter.DoubleToInt64Bits(VirtualShards.Add<double>(norms.ToArray())));
            }
        }

        static float[] Tree(List<float[]> sums)
        {
            for (int step = 1; step < sums.Count; step *= 2)
            {
                for (int i = 0; i + step < sums.Count; i += 2 * step)
                {
                    sums[i] = [.. sums[i].Zip(sums[i + step], (a, b) => a + b)];
                }
            }

            return sums[0];
        }
    }

    /// <summary>The pairs of some latents, as the process that holds these latents would have them.</summary>
    static SparseCode Part(SparseCode code, int first, int latents)
    {
        int[] start = Check.Ints(code.LatentStart, code.Latents + 1);
        int from = start[first], pairs = start[first + latents] - from;
        SparseCode part = new(code.MaxTokens, latents, pairs) { ShardSize = code.ShardSize, Tokens = code.Tokens, Pairs = pairs };
        for (int j = 0; j <= latents; j++)
        {
            part.LatentStart.Span<int>()[j] = start[first + j] - from;
        }

        code.PairToken.Span<int>().Slice(from, pairs).CopyTo(part.PairToken.Span<int>());
        code.PairValue.Span<float>().Slice(from, pairs).CopyTo(part.PairValue.Span<float>());
        code.PairGradient.Span<float>().Slice(from, pairs).CopyTo(part.PairGradient.Span<float>());
        int entries = 0;
        for (int b = 0; b < code.Tokens; b++)
        {
            for (int i = code.TokenStart.Span<int>()[b]; i < code.TokenStart.Span<int>()[b + 1]; i++)
            {
                int latent = code.TokenLatent.Span<int>()[i] - first;
                if (latent >= 0 && latent < latents)
                {
                    part.TokenLatent.Span<int>()[entries] = latent;
                    part.TokenPairs.Span<int>()[entries++] = code.TokenPairs.Span<int>()[i] - from;
                }
            }

            part.TokenStart.Span<int>()[b + 1] = entries;
        }

        return part;
    }

    static LatentParameters Slice(LatentParameters p, int first, int latents) => p with
    {
        WEnc_LE = p.WEnc_LE.SliceRows(first, latents),
        WDec_LE = p.WDec_LE.SliceRows(first, latents),
        EncM_LE = p.EncM_LE.SliceRows(first, latents),
        EncV_LE = p.EncV_LE.SliceRows(first, latents),
        DecM_LE = p.DecM_LE.SliceRows(first, latents),
        DecV_LE = p.DecV_LE.SliceRows(first, latents),
        BEnc_L = p.BEnc_L.SliceColumns(first, latents),
        BiasM_L = p.BiasM_L.SliceColumns(first, latents),
        BiasV_L = p.BiasV_L.SliceColumns(first, latents),
        Norms_LM = p.Norms_LM.SliceRows(first, latents),
        Scale_L = p.Scale_L.SliceColumns(first, latents),
    };
}
