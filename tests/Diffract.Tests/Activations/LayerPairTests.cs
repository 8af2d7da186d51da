using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;
using Diffract.Tests.Cli;

namespace Diffract.Tests.Activations;

/// <summary>A block for each model: how it is written, and what is harvested.</summary>
public sealed class LayerPairTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("13", 13, 13, "13", "13")]
    [InlineData("13:12", 13, 12, "13:12", "13-12")]
    [InlineData("13-12", 13, 12, "13:12", "13-12")]
    [InlineData("7:7", 7, 7, "7", "7")]
    public void Both_spellings_are_read(string text, int ofBase, int ofChat, string written, string folder)
    {
        Assert.True(LayerPair.TryParse(text, out LayerPair pair));
        Assert.Equal((ofBase, ofChat, written, folder), (pair.Base, pair.Chat, pair.ToString(), pair.FolderName));
        Assert.Equal(pair, LayerPair.Of(JsonNode.Parse(((JsonNode)pair).ToJsonString())));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a")]
    [InlineData("1:")]
    [InlineData("1:2:3")]
    [InlineData("-1")]
    [InlineData("1.5")]
    public void Anything_else_is_none(string text) => Assert.False(LayerPair.TryParse(text, out _));

    [Fact]
    public void Each_model_is_read_after_its_own_block()
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
        HarvestRuns.Tokenize(run, Pairs.Base, Pairs.Chat, tokens: 3000, seed: 1);
        using IBackend backend = HarvestRuns.Backend();
        LayerPair[] layers = [3, 2, new LayerPair(3, 2)];
        foreach (LayerPair layer in layers)
        {
            HarvestStage.Run(new StageContext(run, backend, new SilentProgress()), new HarvestSettings { Layer = layer });
        }

        Assert.Equal(["2", "3", "3-2"], run.Names("activations").Order(StringComparer.Ordinal));
        Matrix[] rows_BE = [.. layers.Select(layer =>
        {
            using ActivationStore store = ActivationStore.Open(run, layer);
            Assert.Equal(layer, store.Layer);
            Assert.Equal(layer, LayerPair.Of(store.Manifest.Settings["layer"]));
            Matrix rows = Matrix.Host(500, 256);
            store.Read(100, 500, rows);
            return rows;
        })];
        for (int b = 0; b < 500; b++)
        {
            Assert.True(rows_BE[2].Row(b)[..128].SequenceEqual(rows_BE[0].Row(b)[..128]) && rows_BE[2].Row(b)[128..].SequenceEqual(rows_BE[1].Row(b)[128..]));
        }

        Array.ForEach(rows_BE, r => r.Buffer.Dispose());
        DiffractException e = Assert.Throws<DiffractException>(() => HarvestStage.Run(new StageContext(run, backend, new SilentProgress()), new HarvestSettings { Layer = new LayerPair(6, 2) }));
        Assert.Contains("--layer 6:2 is out of range; the base model has blocks 0 to 5, the chat model 0 to 5", e.Message, StringComparison.Ordinal);
    }

    /// <summary>From the tokens to the report, with every verb finding its way by the pair of layers.</summary>
    [Fact]
    public void A_run_at_two_layers_goes_through_all_stages()
    {
        foreach (string call in (string[])[
            $"tokenize run --base {Pairs.Base} --chat {Pairs.Chat} --chats {Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")} --tokens 40000",
            "harvest run --layer 3:2",
            "train run --latents 96 --k 8 --steps 30 --batch 256 --threshold-from 10",
            "latents run --layer 3:2",
            "scale run",
            "evidence run --shuffles 20 --resamples 20 --conversations 10",
            "report run"])
        {
            (int code, _, string error) = CommandLine.Run(_folder.Path, call.Split(' '));
            Assert.True(code == 0, $"{call}: {error}");
        }

        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.Path, "run", "report", "report.json")))!;
        Assert.Equal("3:2", (string?)report["answer"]!["layer"]);
        Assert.Contains("after block 3 of the base model and block 2 (of 6) of the chat model", report["says"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.Contains("--layer 3:2", report["trust"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.Equal(2, CommandLine.Run(_folder.Path, ["harvest", "run", "--layer", "3-2"]).Code);
    }
}
