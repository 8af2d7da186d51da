using System.CommandLine.Parsing;
using Diffract.Cli;
using Diffract.Llms;

namespace Diffract.Tests.House;

/// <summary>The README says what the program takes.</summary>
public sealed class ReadmeTests
{
    static readonly string Text = File.ReadAllText(Path.Combine(GoldenFiles.Root, "README.md"));

    public static TheoryData<string> Examples => [.. Text.Split('\n').Where(l => l.StartsWith("diffract ", StringComparison.Ordinal)).Distinct()];

    [Theory]
    [MemberData(nameof(Examples))]
    public void Every_example_parses(string line)
        => Assert.Null(CommandTable.Fault(CommandTable.Create().Parse(CommandLineParser.SplitCommandLine(line["diffract ".Length..]).ToArray())));

    [Fact]
    public void Every_command_of_the_cluster_s_files_parses()
    {
        string text = File.ReadAllText(Path.Combine(GoldenFiles.Root, "docs", "cluster.md")).Replace("\\\n", "", StringComparison.Ordinal);
        string[] lines = [.. System.Text.RegularExpressions.Regex.Matches(text, @"^\s*(?:srun |args: \[.exec )?diffract ([^\n'|>]+)", System.Text.RegularExpressions.RegexOptions.Multiline)
            .Select(m => System.Text.RegularExpressions.Regex.Replace(m.Groups[1].Value, @"""?\$\w+""?", "7"))];
        Assert.True(lines.Count(l => l.Contains("--task 7", StringComparison.Ordinal)) >= 3);
        Assert.All(lines, l => Assert.Null(CommandTable.Fault(CommandTable.Create().Parse(CommandLineParser.SplitCommandLine(l).ToArray()))));
    }

    [Fact]
    public void A_wrong_example_would_be_caught()
    {
        Assert.Contains("--no-such-option", CommandTable.Fault(CommandTable.Create().Parse(["run", "--base", "a", "--chat", "b", "--no-such-option"])), StringComparison.Ordinal);
        Assert.Contains("no-such-verb is not a verb", CommandTable.Fault(CommandTable.Create().Parse(["no-such-verb"])), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("dotnet run -c Release --project src/Diffract.Cli -- demo")]
    [InlineData("dotnet test -c Release")]
    public void The_two_commands_are_there_and_run_in_ci(string command)
    {
        Assert.Contains("\n" + command + "\n", Text, StringComparison.Ordinal);
        string scripts = File.ReadAllText(Path.Combine(GoldenFiles.Root, "check.sh")) + File.ReadAllText(Path.Combine(GoldenFiles.Root, ".ci", "run"));
        Assert.Contains(command, scripts, StringComparison.Ordinal);
    }

    [Fact]
    public void Its_table_of_models_is_what_the_verb_prints()
        => Assert.Contains("\n" + string.Join("\n", FamilyTable.Lines()) + "\n", Text, StringComparison.Ordinal);

    [Fact]
    public void Every_file_that_it_points_to_is_there()
    {
        string[] links = [.. System.Text.RegularExpressions.Regex.Matches(Text, @"\]\(([^)]+)\)").Select(m => m.Groups[1].Value.Split('#')[0])];
        Assert.NotEmpty(links);
        Assert.All(links, link => Assert.True(File.Exists(Path.Combine(GoldenFiles.Root, link)), link + " is missing"));
    }
}
