namespace Diffract.Tests.Cli;

/// <summary>What a user gets wrong, through the program itself: one line, the right exit code, and nothing left behind that stands in the way of the next try.</summary>
public sealed class BadInputTests : IDisposable
{
    static readonly string Base = Path.Combine(GoldenFiles.Assets, "base"), Chat = Path.Combine(GoldenFiles.Assets, "chat");
    static readonly string Chats = Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz");
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("wanted a verb: demo, run")]
    [InlineData("frob is not a verb; wanted one of demo, run", "frob", "--x")]
    [InlineData("--no-such-option is not an option; see `diffract harvest --help`", "harvest", "x", "--no-such-option")]
    [InlineData("--layer two does not fit; wanted a block, such as 13", "harvest", "x", "--layer", "two")]
    [InlineData("--lr fast does not fit; wanted a number", "train", "x", "--lr", "fast")]
    [InlineData("--kind topk does not fit; wanted one of l1 batchtopk", "train", "x", "--kind", "topk")]
    [InlineData("run folder x does not exist", "harvest", "x")]
    [InlineData("--device gpu is unknown; wanted auto, cpu or reference", "harvest", "x", "--device", "gpu")]
    [InlineData("\"../x\" cannot name a crosscoder", "latents", ".", "--name", "../x")]
    public void Bad_arguments_say_what_was_wanted(string message, params string[] arguments) => Fails(2, message, arguments);

    [Theory]
    [InlineData("there is no text to read")]
    [InlineData("gone.jsonl does not exist", "--text", "gone.jsonl")]
    public void A_slip_in_the_files_does_not_bind_the_run_folder(string message, params string[] files)
    {
        Fails(2, message, ["run", "--base", Base, "--chat", Chat, "--out", "mine", .. files]);
        Assert.False(File.Exists(Path.Combine(_folder.Path, "mine", "run.json")), "another try with the right files would be refused as one with other settings");
    }

    [Theory]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("null")]
    public void A_damaged_plan_is_refused_and_says_what_to_do(string plan)
    {
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(_folder.Path, "mine")).FullName, "run.json"), plan);
        Fails(1, "run.json is not the plan of a run: changed or damaged; remove it", "run", "--base", Base, "--chat", Chat, "--chats", Chats, "--out", "mine");
    }

    [Fact]
    public void A_missing_checkpoint_and_another_family_are_refused_before_any_work()
    {
        Fails(2, "nowhere is not a folder", "run", "--base", "nowhere", "--chat", Chat, "--chats", Chats);
        string other = Directory.CreateDirectory(Path.Combine(_folder.Path, "other")).FullName;
        foreach (string file in Directory.GetFiles(Base))
        {
            File.Copy(file, Path.Combine(other, Path.GetFileName(file)));
        }

        string config = Path.Combine(other, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"gemma2\"", "\"mamba\"", StringComparison.Ordinal));
        Fails(1, "model_type mamba is not supported", "run", "--base", other, "--chat", Chat, "--chats", Chats, "--out", "mine");
    }

    [Fact]
    public void The_help_of_the_program_has_a_line_a_verb_and_that_of_a_verb_its_loose_files()
    {
        (int code, string output, _) = CommandLine.Run(_folder.Path, "--help");
        Assert.Equal(0, code);
        Assert.Contains("diffract [command]", output, StringComparison.Ordinal);
        Assert.DoesNotContain("Loose files", output, StringComparison.Ordinal);
        (code, output, _) = CommandLine.Run(_folder.Path, "train", "--help");
        Assert.Equal(0, code);
        Assert.Contains("Loose files: diffract train --activations", output, StringComparison.Ordinal);
    }

    void Fails(int code, string message, params string[] arguments)
    {
        (int got, _, string error) = CommandLine.Run(_folder.Path, arguments);
        Assert.Equal(code, got);
        string line = Assert.Single(error.TrimEnd().Split('\n'));
        Assert.StartsWith("diffract: ", line, StringComparison.Ordinal);
        Assert.Contains(message, line, StringComparison.Ordinal);
    }
}
