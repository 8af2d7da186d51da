// Long because the levels of one grammar follow each other.
namespace Diffract.Formats.Jinja;

sealed partial class Parser
{
    Expression Expression(bool conditional = true)
    {
        Deeper();
        Expression made = conditional ? Conditional() : Or();
        _depth--;
        return made;
    }

    Expression Conditional()
    {
        int line = Current.Line;
        bool soft = _soft;
        Expression left = Or();
        while (SkipName("if"))
        {
            _soft = true;
            Expression test = Or();
            Expression? otherwise = null;
            if (SkipName("else"))
            {
                Deeper();
                otherwise = Conditional();
                _depth--;
            }

            left = new Condition(test, left, otherwise, line);
            line = Current.Line;
        }

        _soft = soft;
        return left;
    }

    Expression Or()
    {
        Expression left = And();
        while (SkipName("or"))
        {
            left = new Or(left, And());
        }

        return left;
    }

    Expression And()
    {
        Expression left = Not();
        while (SkipName("and"))
        {
            left = new And(left, Not());
        }

        return left;
    }

    Expression Not()
    {
        if (!SkipName("not"))
        {
            return Compare();
        }

        Deeper();
        Expression inner = new Not(Not());
        _depth--;
        return inner;
    }

    Expression Compare()
    {
        Expression first = Sum();
        List<(string Operator, Expression Right)> rest = [];
        while (true)
        {
            if (Current.Kind is "==" or "!=" or "<" or "<=" or ">" or ">=")
            {
                string kind = Next().Kind;
                rest.Add((kind, Sum()));
            }
            else if (SkipName("in"))
            {
                rest.Add(("in", Sum()));
            }
            else if (Current.Is("not") && Look.Is("in"))
            {
                _at += 2;
                rest.Add(("not in", Sum()));
            }
            else
            {
                return rest.Count == 0 ? first : new Comparison(first, rest);
            }
        }
    }

    Expression Sum()
    {
        Expression left = Concat();
        while (Current.Kind is "+" or "-")
        {
            string kind = Next().Kind;
            left = new Arithmetic(kind, left, Concat());
        }

        return left;
    }

    Expression Concat()
    {
        List<Expression> parts = [Product()];
        while (Skip("~"))
        {
            parts.Add(Product());
        }

        return parts.Count == 1 ? parts[0] : new Concat(parts);
    }

    Expression Product()
    {
        Expression left = Power();
        while (Current.Kind is "*" or "/" or "//" or "%")
        {
            string kind = Next().Kind;
            left = new Arithmetic(kind, left, Power());
        }

        return left;
    }

    Expression Power()
    {
        Expression left = Unary(true);
        while (Skip("**"))
        {
            left = new Arithmetic("**", left, Unary(true));
        }

        return left;
    }

    Expression Unary(bool filters)
    {
        Deeper();
        Expression made = Current.Kind is "-" or "+" ? new Sign(Next().Kind == "-", Unary(false)) : Primary();
        made = Postfix(made);
        while (filters)
        {
            if (Current.Kind == "|")
            {
                made = Filter(made, false)!;
            }
            else if (Current.Is("is"))
            {
                made = Test(made);
            }
            else if (Current.Kind == "(")
            {
                made = new Call(made, CallArguments());
            }
            else
            {
                break;
            }
        }

        _depth--;
        return made;
    }

    Expression Primary()
    {
        Token token = Next();
        switch (token.Kind)
        {
            case "name":
                if (token.Text is "true" or "True" or "false" or "False")
                {
                    return new Constant(token.Text is "true" or "True");
                }

                if (token.Text is "none" or "None")
                {
                    return new Constant(null);
                }

                foreach (HashSet<string> mentioned in _mentioned)
                {
                    mentioned.Add(token.Text);
                }

                return new Name(token.Text);
            case "string":
                string text = (string)token.Value!;
                while (Current.Kind == "string")
                {
                    text += (string)Next().Value!;
                }

                return new Constant(text);
            case "integer" or "float":
                return new Constant(token.Value);
            case "(":
                Deeper();
                Expression tuple = TupleOr(true, [], parenthesised: true);
                _depth--;
                Expect(")");
                return tuple;
            case "[":
                return new ListExpression(Items("]"));
            case "{":
                return DictItems();
            default:
                throw JinjaException.Syntax($"unexpected {Printing.Quote(token.Described)}");
        }
    }

    List<Expression> Items(string close)
    {
        List<Expression> items = [];
        while (Current.Kind != close)
        {
            if (items.Count > 0)
            {
                Expect(",");
            }

            if (Current.Kind == close)
            {
                break;
            }

            items.Add(Expression());
        }

        Expect(close);
        return items;
    }

    DictExpression DictItems()
    {
        List<(Expression Key, Expression Value)> items = [];
        while (Current.Kind != "}")
        {
            if (items.Count > 0)
            {
                Expect(",");
            }

            if (Current.Kind == "}")
            {
                break;
            }

            Expression key = Expression();
            Expect(":");
            items.Add((key, Expression()));
        }

        Expect("}");
        return new DictExpression(items);
    }

    Expression TupleOr(bool conditional, string[] ends, bool parenthesised = false)
    {
        List<Expression> parts = [];
        bool tuple = false;
        while (true)
        {
            if (parts.Count > 0)
            {
                Expect(",");
            }

            if (Current.Kind is "variable_end" or "block_end" or ")" || ends.Any(Current.Is))
            {
                break;
            }

            parts.Add(Expression(conditional));
            if (Current.Kind != ",")
            {
                break;
            }

            tuple = true;
        }

        return !tuple && parts.Count > 0 ? parts[0]
            : tuple || parenthesised ? new TupleExpression(parts)
            : throw JinjaException.Syntax($"Expected an expression, got {Printing.Quote(Current.Described)}");
    }

    Expression Postfix(Expression made)
    {
        while (true)
        {
            if (Skip("."))
            {
                Token name = Next();
                made = name.Kind == "name" ? new Attribute(made, name.Text)
                    : name.Kind == "integer" ? new Item(made, new Constant(name.Value))
                    : throw JinjaException.Syntax("expected name or number");
            }
            else if (Skip("["))
            {
                List<Expression> keys = [];
                while (Current.Kind != "]")
                {
                    if (keys.Count > 0)
                    {
                        Expect(",");
                    }

                    keys.Add(Subscript());
                }

                Next();
                made = new Item(made, keys.Count == 1 ? keys[0] : new TupleExpression(keys));
            }
            else if (Current.Kind == "(")
            {
                made = new Call(made, CallArguments());
            }
            else
            {
                return made;
            }
        }
    }

    Expression Subscript()
    {
        Expression? start = null;
        if (!Skip(":"))
        {
            start = Expression();
            if (!Skip(":"))
            {
                return start;
            }
        }

        Expression? stop = Current.Kind is ":" or "]" or "," ? null : Expression();
        Expression? step = Skip(":") && Current.Kind is not ("]" or ",") ? Expression() : null;
        return new SliceExpression(start, stop, step);
    }

    ArgumentList CallArguments()
    {
        Expect("(");
        ArgumentList list = new();
        for (bool comma = false; Current.Kind != ")"; comma = true)
        {
            if (comma)
            {
                Expect(",");
                if (Current.Kind == ")")
                {
                    break;
                }
            }

            if (Skip("*"))
            {
                Ensure(list.Rest is null && list.KeywordRest is null);
                list.Rest = Expression();
            }
            else if (Skip("**"))
            {
                Ensure(list.KeywordRest is null);
                list.KeywordRest = Expression();
            }
            else if (Current.Kind == "name" && Look.Kind == "=")
            {
                Ensure(list.KeywordRest is null);
                string name = Next().Text;
                Next();
                list.Keywords.Add((name, Expression()));
            }
            else
            {
                Ensure(list.Rest is null && list.KeywordRest is null && list.Keywords.Count == 0);
                list.Positional.Add(Expression());
            }
        }

        Expect(")");
        return list;

        static void Ensure(bool fine)
        {
            if (!fine)
            {
                throw JinjaException.Syntax("invalid syntax for function call expression");
            }
        }
    }

    string Dotted()
    {
        string name = Expect("name").Text;
        while (Skip("."))
        {
            name += "." + Expect("name").Text;
        }

        return name;
    }

    Expression? Filter(Expression? made, bool inline)
    {
        while (inline || Current.Kind == "|")
        {
            if (!inline)
            {
                Next();
            }

            string name = Dotted();
            ArgumentList arguments = Current.Kind == "(" ? CallArguments() : new ArgumentList();
            if (!Filters.Has(name) && !_soft)
            {
                throw new JinjaException("TemplateAssertionError", $"No filter named '{name}'.");
            }

            made = new FilterCall(made, name, arguments);
            inline = false;
        }

        return made;
    }

    Expression Test(Expression value)
    {
        Next();
        bool negated = SkipName("not");
        string name = Dotted();
        ArgumentList arguments = new();
        if (Current.Kind == "(")
        {
            arguments = CallArguments();
        }
        else if (Current.Kind is ("name" or "string" or "integer" or "float" or "[" or "{") && !Current.Is("else") && !Current.Is("or") && !Current.Is("and"))
        {
            if (Current.Is("is"))
            {
                throw JinjaException.Syntax("You cannot chain multiple tests with is");
            }

            arguments.Positional.Add(Postfix(Primary()));
        }

        if (!Tests.Has(name) && !_soft)
        {
            throw new JinjaException("TemplateAssertionError", $"No test named '{name}'.");
        }

        Expression test = new TestCall(value, name, arguments);
        return negated ? new Not(test) : test;
    }
}
