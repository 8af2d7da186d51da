using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Crosscoders;

public sealed class LooseEncodingTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;
    readonly ReferenceBackend _backend = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("hub_l1", "l1")]
    [InlineData("hub_batchtopk", "batchtopk_crosscoder")]
    [InlineData("hub_decoupled", "batchtopk_decoupled")]
    [InlineData("hub_normalised", "batchtopk_normalised")]
    [InlineData("hub_sae", "sae_batchtopk")]
    public void Code_and_reconstruction_agree_with_the_reference_library(string hub, string golden)
    {
        using SafetensorsFile run = SafetensorsFile.Open(GoldenFiles.Path($"crosscoder/{golden}/run.safetensors"));
        string output = Encode(GoldenFiles.Path("crosscoder/files/" + hub), run.Floats("eval.x"), new SilentProgress(), run["eval.x"].Shape);
        using SafetensorsFile file = SafetensorsFile.Open(output);
        Close.Max(run.Floats("eval.code"), file.Floats("code", run["eval.code"].Shape), 1e-5, "code");
        Close.Max(run.Floats("eval.reconstruction"), file.Floats("reconstruction", run["eval.x"].Shape), 1e-5, "reconstruction");
    }

    [Fact]
    public void An_unset_threshold_warns_and_is_dense()
    {
        using (Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.BatchTopK, 6, [3, 3]) { K = 1 }, _backend))
        {
            CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 1).Apply(crosscoder);
            crosscoder.BEnc_L.Row(0).Fill(100);
            CrosscoderFolder.Save(_folder, crosscoder);
        }

        Warnings progress = new();
        string output = Encode(_folder, [1, 2, 3, 4, 5, 6], progress, 1, 2, 3);
        Assert.Contains("no inference threshold", Assert.Single(progress.Texts), StringComparison.Ordinal);
        using SafetensorsFile file = SafetensorsFile.Open(output);
        Assert.All(file.Floats("code", 1, 6), f => Assert.True(f > 0));
    }

    [Theory]
    [InlineData(0.0f, 3, "wanted [tokens, 2, 16]")]
    [InlineData(float.NaN, 2, "holds NaN at token 0, model 1, column 3")]
    public void What_cannot_be_encoded_says_where(float value, int models, string message)
    {
        float[] x = new float[models * 16];
        x[19] = value;
        DiffractException e = Assert.Throws<DiffractException>(() => Encode(GoldenFiles.Path("crosscoder/files/hub_l1"), x, new SilentProgress(), 1, models, 16));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    string Encode(string crosscoder, float[] x, IProgressSink progress, params long[] shape)
    {
        string input = Path.Combine(_folder, "x.safetensors");
        string output = Path.Combine(_folder, "y.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", x, shape);
        writer.Save(input);
        LooseEncoding.Run(crosscoder, input, output, InputScale.Unsaid, _backend, progress, CancellationToken.None);
        return output;
    }

    sealed class Warnings : IProgressSink
    {
        public List<string> Texts { get; } = [];

        public void Line(string text)
        {
        }

        public void Warn(string text) => Texts.Add(text);

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
        }

        public void Done(string what, string summary)
        {
        }
    }
}
