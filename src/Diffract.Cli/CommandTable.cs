using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using Diffract.Cli.Commands;

namespace Diffract.Cli;

/// <summary>Every verb, in the order of the path.</summary>
public static class CommandTable
{
    // Not a RootCommand: that takes the name of the executable file.
    public static Command Create() => new("diffract", "Finds what fine-tuning changed inside a language model: `diffract demo` shows it on the pair that ships with the program.")
    {
        new HelpOption(),
        new VersionOption(),
        DemoCommand.Create(),
        RunCommand.Create(),
        TokenizeCommand.Create(),
        HarvestCommand.Create(),
        ActivationsCommand.Create(),
        TrainCommand.Create(),
        LatentsCommand.Create(),
        ScaleCommand.Create(),
        EvidenceCommand.Create(),
        ReportCommand.Create(),
        PlantedCommand.Create(),
        PlantedScoreCommand.Create(),
        RenderCommand.Create(),
        ModelsCommand.Create(),
        ForwardCommand.Create(),
        EncodeCommand.Create(),
        ExportCommand.Create(),
        TwinsCommand.Create(),
        ExamplesCommand.Create(),
        VerifyCommand.Create(),
        AnalysesCommand.Create(),
        InterveneCommand.Create(),
        GenerateCommand.Create(),
        DoctorCommand.Create(),
    };

    /// <summary>Leaves one line of each verb's description: the rest is for the verb's own help.</summary>
    public static void Shorten(Command root)
    {
        foreach (Command verb in root.Subcommands)
        {
            string text = verb.Description!.Replace('\n', ' ') + " ";
            const string Loose = "Loose files: ";
            text = text.StartsWith(Loose, StringComparison.Ordinal) ? char.ToUpperInvariant(text[Loose.Length]) + text[(Loose.Length + 1)..] : text;
            int end = new[] { ". ", ": ", "; " }.Select(stop => text.IndexOf(stop, StringComparison.Ordinal)).Where(at => at > 0).DefaultIfEmpty(text.Length - 1).Min();
            verb.Description = text[..end] + ".";
        }
    }

    /// <summary>What is wrong with the arguments, in one line; null when nothing is.</summary>
    public static string? Fault(ParseResult parse)
    {
        // An unknown option would be taken for an argument's value.
        Command command = parse.CommandResult.Command;
        if (command.Subcommands.Count > 0 && parse.UnmatchedTokens.FirstOrDefault(t => !t.StartsWith('-')) is { } noVerb)
        {
            return $"{noVerb} is not a verb; wanted one of {Verbs(command)}";
        }

        if (parse.Tokens.FirstOrDefault(t => t.Type == TokenType.Argument && t.Value.StartsWith("--", StringComparison.Ordinal))?.Value is { } unknown)
        {
            return $"{unknown} is not an option";
        }

        if (parse.Errors.Count == 0)
        {
            return null;
        }

        if (command.Subcommands.Count > 0)
        {
            return $"wanted a verb: {Verbs(command)}";
        }

        string message = parse.Errors[0].Message;
        if (parse.Errors[0].SymbolResult is OptionResult { Tokens.Count: > 0 } given)
        {
            Type type = Nullable.GetUnderlyingType(given.Option.ValueType) ?? given.Option.ValueType;
            int choices = message.IndexOf("Must be one of:", StringComparison.Ordinal);
            string? wanted = choices > 0 ? "one of" + OneLine(message[(choices + "Must be one of:".Length - 1)..]).TrimStart(':').Replace("'", "", StringComparison.Ordinal)
                : !message.Contains("expected type", StringComparison.Ordinal) ? null
                : type == typeof(double) ? "a number"
                : "a whole number, without separators";
            if (wanted is not null)
            {
                return $"{given.Option.Name} {given.Tokens[0].Value} does not fit; wanted {wanted}";
            }
        }

        return OneLine(message).TrimEnd('.');
    }

    static string Verbs(Command root) => string.Join(", ", root.Subcommands.Select(c => c.Name));

    // Choices come a line each.
    static string OneLine(string message) => string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}
