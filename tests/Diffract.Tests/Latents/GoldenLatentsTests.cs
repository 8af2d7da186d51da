using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Latents;

/// <summary>The columns that weights alone decide, against the published statistics tools.</summary>
public sealed class GoldenLatentsTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("l1")]
    [InlineData("batchtopk")]
    public void Columns_from_weights_are_those_of_the_published_tools(string dictionary)
    {
        GoldenDictionary.Unpack(dictionary, _folder);
        using ReferenceBackend backend = new();
        using Crosscoder crosscoder = CrosscoderFolder.Load(_folder, backend);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"statistics/latents_{dictionary}.safetensors"));
        LatentVectors[] decoder = [.. Enumerable.Range(0, crosscoder.Latents).Select(j => LatentVectors.Of(crosscoder.WDec_LE, crosscoder.ModelOffsets, j))];
        LatentVectors[] encoder = [.. Enumerable.Range(0, crosscoder.Latents).Select(j => LatentVectors.Of(crosscoder.WEnc_LE, crosscoder.ModelOffsets, j))];

        Check("dec_base_norm", decoder, v => v.BaseNorm);
        Check("dec_instruct_norm", decoder, v => v.ChatNorm);
        Check("dec_norm_diff", decoder, v => 1 - v.Delta);
        Check("dec_cos_sim", decoder, v => v.Cosine);
        Check("enc_base_norm", encoder, v => v.BaseNorm);
        Check("enc_instruct_norm", encoder, v => v.ChatNorm);
        Check("enc_norm_diff", encoder, v => 1 - v.Delta);
        Check("enc_cos_sim", encoder, v => v.Cosine);
        Assert.Equal(golden.Integers("tag"), decoder.Select(v => (long)LatentClasses.Of(v.Delta)));

        void Check(string column, LatentVectors[] vectors, Func<LatentVectors, double> of)
        {
            double[] wanted = golden.Doubles(column);
            Assert.Equal(wanted.Length, vectors.Length);
            for (int j = 0; j < wanted.Length; j++)
            {
                double got = of(vectors[j]);
                Assert.True(double.IsNaN(wanted[j]) ? double.IsNaN(got) : Math.Abs(got - wanted[j]) <= 1e-6, $"{column}[{j}] is {got:R}, wanted {wanted[j]:R}");
            }
        }
    }

    [Theory]
    [InlineData(1.0, LatentClass.ChatOnly)]
    [InlineData(0.9, LatentClass.Other)]
    [InlineData(0.0, LatentClass.BaseOnly)]
    [InlineData(0.1, LatentClass.Other)]
    [InlineData(0.5, LatentClass.Shared)]
    [InlineData(0.59, LatentClass.Shared)]
    [InlineData(0.61, LatentClass.Other)]
    [InlineData(double.NaN, LatentClass.Other)]
    public void Classes_have_strict_bounds(double deltaNorm, LatentClass wanted)
    {
        Assert.Equal(wanted, LatentClasses.Of(deltaNorm));
        Assert.Equal(wanted, LatentClasses.Parse(LatentClasses.Tag(wanted)));
    }

    [Fact]
    public void The_older_tag_for_chat_only_is_read() => Assert.Equal(LatentClass.ChatOnly, LatentClasses.Parse("IT only"));
}
