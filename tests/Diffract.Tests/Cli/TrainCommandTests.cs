using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Training;

namespace Diffract.Tests.Cli;

/// <summary>The loose calls of <c>train</c> and <c>encode</c> as a user types them, against thirty steps of the reference library.</summary>
public sealed class TrainCommandTests : IDisposable
{
    const double Tolerance = 1e-5;
    const string BatchTopK = "--lr 0.003 --warmup 8 --k-aux 8 --dead-after 320 --threshold-from 10 --threshold-beta 0.9";
    const string L1 = "--lr 0.003 --warmup 8 --mu 0.041";

    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("batchtopk_mixed", BatchTopK + " --kind batchtopk --k 4 --code-norm mixed --mixed-alpha-sae 1.0 --mixed-alpha-cc 0.1")]
    [InlineData("batchtopk_decoupled", BatchTopK)]
    [InlineData("batchtopk_normalised", BatchTopK)]
    [InlineData("batchtopk_k_anneal", BatchTopK + " --k 4 --k-initial 12 --k-annealing-steps 20")]
    [InlineData("sae_batchtopk", BatchTopK + " --kind sae --encoder-init-norm 1")]
    [InlineData("l1_first_model_encodes", L1 + " --encoder-models 0")]
    public void A_loose_training_and_encoding_agree_with_the_reference_library(string name, string options)
    {
        string run = GoldenFiles.Path($"crosscoder/{name}/run.safetensors"), output = Path.Combine(_folder, "out"), x = Path.Combine(_folder, "x.safetensors"), y = Path.Combine(_folder, "y.safetensors");
        using SafetensorsFile golden = SafetensorsFile.Open(run);
        Succeeds(["train", "--activations", run, "--init", run, "--order", "stored", "--out", output, "--threads", "2", .. options.Split(' ')]);
        using (SafetensorsFile model = SafetensorsFile.Open(Path.Combine(output, CrosscoderFolder.ModelFile)), optimizer = SafetensorsFile.Open(Path.Combine(output, OptimizerFile.Name)))
        {
            foreach (string tensor in (string[])["encoder.weight", "encoder.bias", "decoder.weight", name.StartsWith("sae", StringComparison.Ordinal) ? "b_dec" : "decoder.bias"])
            {
                Close.Max(golden.Floats("final." + tensor), model.Floats(tensor, golden["final." + tensor].Shape), Tolerance, tensor);
                Close.Max(golden.Floats("adam_v." + tensor), optimizer.Floats("adam_v." + tensor, golden["final." + tensor].Shape), Tolerance, "adam_v." + tensor);
            }
        }

        Assert.Equal(30, File.ReadAllLines(Path.Combine(output, TrainingLog.FileName)).Length);
        SafetensorsWriter writer = new();
        writer.Add("x", golden.Floats("eval.x"), golden["eval.x"].Shape);
        writer.Save(x);
        Succeeds("encode", "--crosscoder", output, "--activations", x, "--out", y);
        using SafetensorsFile encoded = SafetensorsFile.Open(y);
        Close.Max(golden.Floats("eval.code"), encoded.Floats("code", golden["eval.code"].Shape), Tolerance, "code");
        Close.Max(golden.Floats("eval.reconstruction"), encoded.Floats("reconstruction", golden["eval.x"].Shape), Tolerance, "reconstruction");
    }

    [Theory]
    [InlineData("sae_batchtopk", "--kind batchtopk", "--kind sae")]
    [InlineData("batchtopk_crosscoder", "--encoder-models 0", "encoder")]
    [InlineData("batchtopk_crosscoder", "--encoder-models 0,x", "--encoder-models 0,x")]
    [InlineData("batchtopk_crosscoder", "--k-initial 8", "--k-annealing-steps")]
    [InlineData("batchtopk_crosscoder", "--resample-steps 5", "--resample-steps")]
    public void What_does_not_fit_is_refused_by_name(string name, string options, string message)
    {
        string run = GoldenFiles.Path($"crosscoder/{name}/run.safetensors");
        (int code, _, string error) = CommandLine.Run(_folder, ["train", "--activations", run, "--init", run, "--out", Path.Combine(_folder, "out"), .. options.Split(' ')]);
        Assert.True(code is 1 or 2, $"exit code {code}");
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void An_L1_training_may_warm_up_beyond_its_end()
    {
        string run = GoldenFiles.Path("crosscoder/l1/run.safetensors");
        Succeeds("train", "--activations", run, "--init", run, "--out", Path.Combine(_folder, "out"), "--warmup", "100");
    }

    void Succeeds(params string[] arguments)
    {
        (int code, string output, string error) = CommandLine.Run(_folder, arguments);
        Assert.True(code == 0, $"exit code {code}: {output}{error}");
    }
}
