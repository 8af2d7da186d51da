using System.CommandLine;
using System.CommandLine.Parsing;
using Diffract.Cli.Commands;

namespace Diffract.Cli;

/// <summary>Every verb, in the order of the path.</summary>
public static class CommandTable
{
    public static RootCommand Create() => new("Finds what fine-tuning changed inside a language model: `diffract demo` shows it on the pair that ships with the program.")
    {
        DemoCommand.Create(),
        RunCommand.Create(),
        TokenizeCommand.Create(),
        HarvestCommand.Create(),
        TrainCommand.Create(),
        LatentsCommand.Create(),
        ScaleCommand.Create(),
        EvidenceCommand.Create(),
        ReportCommand.Create(),
        ForwardCommand.Create(),
        EncodeCommand.Create(),
        InterveneCommand.Create(),
    };

    /// <summary>What is wrong with the arguments, in one line; null when nothing is.</summary>
    public static string? Fault(ParseResult parse)
    {
        // An unknown option would be taken for an argument's value.
        string? unknown = parse.Tokens.FirstOrDefault(t => t.Type == TokenType.Argument && t.Value.StartsWith("--", StringComparison.Ordinal))?.Value;
        return unknown is not null ? $"{unknown} is not an option" : parse.Errors.Count > 0 ? parse.Errors[0].Message.TrimEnd('.') : null;
    }
}
