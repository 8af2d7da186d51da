using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Evidence;

public sealed class LooseInterventionTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract-intervene").FullName;
    readonly GoldenInterventions _golden = new();
    readonly IBackend _backend = EvidenceBackend.Create();

    public void Dispose()
    {
        _golden.Dispose();
        _backend.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Turns_and_ids_give_the_reference_numbers()
    {
        // The shortest chat, once as turns and once as ids.
        int chat = Enumerable.Range(0, _golden.Chats).MinBy(i => _golden.File[$"{i}.ids"].Elements);
        string turns = File.ReadLines(GoldenFiles.Path("interventions/chats.jsonl")).ElementAt(chat);
        long[] roles = [.. Enumerable.Zip(_golden.File.Integers($"{chat}.role"), _golden.File.Integers($"{chat}.ctrl"), (r, c) => (r == 0 ? 1 : r == 2 ? 4 : r == 3 ? 8 : 0) + (c * 2))];
        string ids = $$"""{"ids": [{{string.Join(", ", _golden.File.Integers($"{chat}.ids"))}}], "roles": [{{string.Join(", ", roles)}}]}""";
        InterveneSettings settings = Settings(turns + "\n" + ids + "\n") with
        {
            Latents = [("best", GoldenFiles.Path("interventions/best.json"))],
            Positions = Path.Combine(_folder, "positions.safetensors"),
            Context = 256,
        };

        LooseIntervention.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);

        using SafetensorsFile positions = SafetensorsFile.Open(settings.Positions!);
        double sum = 0;
        long[] pred = _golden.File.Integers($"{chat}.pred");
        foreach (string edit in new[] { "none", "all", "error", "template", "replace_best", "add_best", "base_model" })
        {
            foreach (string metric in edit == "base_model" ? ["kl"] : new[] { "kl", "nll" })
            {
                double[] wanted = _golden.File.Doubles($"{chat}.{metric}.{edit}"), got = positions.Doubles($"0.{metric}.{edit}", wanted.Length);
                Assert.Equal(got, positions.Doubles($"1.{metric}.{edit}", wanted.Length));
                for (int t = 0; t < got.Length; t++)
                {
                    Assert.InRange(got[t], wanted[t] - 1e-4 - (1e-3 * Math.Abs(wanted[t])), wanted[t] + 1e-4 + (1e-3 * Math.Abs(wanted[t])));
                    sum += edit == "none" && metric == "kl" ? wanted[t] * pred[t] : 0;
                }
            }
        }

        JsonNode means = JsonNode.Parse(File.ReadAllText(settings.Out))!;
        Assert.Equal(["none", "all", "error", "template", "replace_best", "add_best", "base_model"], means.AsObject().Select(p => p.Key));
        Assert.Equal(2 * pred.Sum(), (long)means["none"]!["all"]!["kl"]!["count"]!);
        Assert.Equal(sum / pred.Sum(), (double)means["none"]!["all"]!["kl"]!["mean"]!, 1e-2);
        Assert.Equal(["mean", "variance", "count"], means["base_model"]!["post_k_first"]!["nll"]!.AsObject().Select(p => p.Key));
    }

    [Theory]
    [InlineData("""{"text": "a document"}""", "line 1 is a document; wanted a chat")]
    [InlineData("""{"turns": [{"role": "assistant", "content": "a"}]}""", "line 1 cannot be rendered: its template says \"Conversation roles must alternate")]
    [InlineData("""{"ids": [2, 5]}""", "line 1 has ids but no roles")]
    [InlineData("""{"ids": [2, 5], "roles": [1]}""", "line 1 has 2 ids and 1 roles")]
    [InlineData("""{"ids": [2, 5000], "roles": [1, 4]}""", "line 1 has the id 5000; the models know ids 0 to 4095")]
    [InlineData("""{"ids": [2, "x"], "roles": [1, 4]}""", "line 1 has malformed ids or roles")]
    [InlineData("not json", "line 1 is not JSON")]
    [InlineData("", "is empty; wanted JSON lines with turns")]
    public void Bad_chats_are_named_by_line(string line, string message) => Refused(Settings(line), message);

    [Fact]
    public void A_layer_out_of_range_is_a_bad_argument()
        => Assert.Equal(DiffractException.BadArguments, Refused(Settings("""{"ids": [2, 5], "roles": [1, 8]}""") with { Layer = 6 }, "--layer 6 is out of range; the models have blocks 0 to 5 in common").ExitCode);

    [Fact]
    public void A_context_beyond_the_models_is_a_bad_argument()
        => Assert.Equal(DiffractException.BadArguments, Refused(Settings("") with { Context = 513 }, "--context 513 is out of range; wanted 2 to 512").ExitCode);

    [Fact]
    public void An_unset_threshold_is_refused_unless_allowed()
    {
        InterveneSettings settings = Settings("""{"ids": [2, 5, 9], "roles": [1, 8, 8]}""");
        _golden.WriteCrosscoder(_folder, threshold: -1);

        Refused(settings, "--allow-unset-threshold");

        LooseIntervention.Run(_backend, new SilentProgress(), settings with { AllowUnsetThreshold = true }, TestContext.Current.CancellationToken);
        Assert.True(File.Exists(settings.Out));
    }

    /// <summary>Twice the activations into half the encoder, and twice the reconstruction halved again: the numbers of the dictionary that reads activations as they are.</summary>
    [Fact]
    public void An_input_scale_gives_the_numbers_of_the_unscaled_dictionary()
    {
        InterveneSettings plain = Settings(string.Concat(File.ReadLines(GoldenFiles.Path("interventions/chats.jsonl")).Take(3).Select(l => l + "\n"))) with { Context = 128 };
        string scaled = _golden.WriteCrosscoder(Directory.CreateDirectory(Path.Combine(_folder, "scaled")).FullName, inputScale: 2);
        JsonNode expected = Run(plain), given = Run(plain with { Crosscoder = scaled, InputScale = InputScale.Parse("2") }), unscaled = Run(plain with { Crosscoder = scaled, InputScale = InputScale.Parse("none") });
        foreach (string edit in new[] { "none", "all", "error", "template", "base_model" })
        {
            double want = Kl(expected, edit);
            Assert.Equal(want, Kl(given, edit), 1e-5 * (1 + want));
        }

        Assert.NotEqual(Kl(expected, "all"), Kl(unscaled, "all"), 0.01);

        JsonNode Run(InterveneSettings settings)
        {
            LooseIntervention.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
            return JsonNode.Parse(File.ReadAllText(settings.Out))!;
        }

        static double Kl(JsonNode results, string edit) => (double)results[edit]!["all"]!["kl"]!["mean"]!;
    }

    /// <summary>√width over the mean norm of the chats' activations, which is said.</summary>
    [Fact]
    public void An_input_scale_may_be_estimated_on_the_chats()
    {
        ListProgress progress = new();
        InterveneSettings settings = Settings(File.ReadLines(GoldenFiles.Path("interventions/chats.jsonl")).First() + "\n") with { Context = 128, InputScale = InputScale.Parse("auto") };
        LooseIntervention.Run(_backend, progress, settings, TestContext.Current.CancellationToken);
        Assert.Contains(progress.Lines, l => l.StartsWith("intervene: input scale ", StringComparison.Ordinal) && l.Contains("√128 over the mean norm", StringComparison.Ordinal));
    }

    [Fact]
    public void A_chat_without_an_answer_counts_nothing()
    {
        InterveneSettings settings = Settings("""{"ids": [2, 5, 9], "roles": [1, 4, 4]}""" + "\n" + """{"ids": [2, 5, 9], "roles": [1, 4, 8]}""" + "\n");

        LooseIntervention.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);

        JsonNode none = JsonNode.Parse(File.ReadAllText(settings.Out))!["none"]!;
        Assert.Equal(1, (long)none["all"]!["kl"]!["count"]!);
        Assert.Equal(0, (long)none["post_k_first"]!["nll"]!["count"]!);
        Assert.Null(none["post_k_first"]!["nll"]!["mean"]);
    }

    [Theory]
    [InlineData("[1, 768]", "latent 768 does not exist; the crosscoder has latents 0 to 767")]
    [InlineData("{\"a\": 1}", "is not a JSON array of latent indices")]
    public void Bad_latent_sets_are_refused(string json, string message)
    {
        string file = Path.Combine(_folder, "set.json");
        File.WriteAllText(file, json);
        Refused(Settings("""{"ids": [2, 5], "roles": [1, 8]}""") with { Latents = [("mine", file)] }, message);
    }

    [Fact]
    public void A_missing_latent_set_is_a_bad_argument()
        => Refused(Settings("") with { Latents = [("mine", Path.Combine(_folder, "none.json"))] }, "the file does not exist");

    DiffractException Refused(InterveneSettings settings, string message)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => LooseIntervention.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
        Assert.False(File.Exists(settings.Out));
        return e;
    }

    InterveneSettings Settings(string chats)
    {
        string file = Path.Combine(_folder, "chats.jsonl");
        File.WriteAllText(file, chats);
        return new InterveneSettings
        {
            BaseModel = Path.Combine(GoldenFiles.Assets, "base"),
            ChatModel = Path.Combine(GoldenFiles.Assets, "chat"),
            Crosscoder = _golden.WriteCrosscoder(_folder),
            Layer = _golden.Layer,
            Chats = file,
            Out = Path.Combine(_folder, "out.json"),
        };
    }
}
